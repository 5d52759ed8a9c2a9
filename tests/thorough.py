"""
What `make thorough` alone runs.

A rule is shown by `make test` over the kind that tells most. Its repetitions over further kinds,
and what waits for elections or floods, have the marker `thorough`.
"""

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

import pytest


def thorough(*values: Any, id: str | None = None) -> Any:
    """Return a parameter that `make thorough` alone runs a test with."""
    return pytest.param(*values, id=id, marks=pytest.mark.thorough)


def crossed(*columns: Sequence[str], always: Collection[str]) -> list[Any]:
    """Return each combination of the columns; `make test` runs those whose ids are in *always*."""
    rows = {"-".join(row): row for row in product(*columns)}
    assert rows.keys() >= set(always), f"no rows of the table: {set(always) - rows.keys()}"
    return [
        pytest.param(*row, id=id) if id in always else thorough(*row, id=id)
        for id, row in rows.items()
    ]
