"""`coatcheck secret`."""

import json

import pytest

from coatcheck import Cookie
from coatcheck.cli import main


def test_a_secret_seals_a_cookie_and_is_another_each_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, ready for an environment."""
    main(["secret"])
    first = capsys.readouterr().out.strip()
    assert Cookie("name", secrets=[first]).signed
    main(["secret", "--json"])
    second = json.loads(capsys.readouterr().out)["secret"]
    assert second != first
    assert len(first) == len(second) == 64
