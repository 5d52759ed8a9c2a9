"""The command that kills processes while they sign in and out."""

from typing import Any

import pytest

from coatcheck._session import saving
from tests.roster_kills import STORAGES, main
from tests.thorough import thorough

# Nothing but the worker runs in the child of a fork, and it is always killed.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

OFTEN = ("SqliteStorage", "Redis")


@pytest.mark.parametrize("kind", [name if name in OFTEN else thorough(name) for name in STORAGES])
def test_a_kill_leaves_no_session_that_a_sign_out_everywhere_would_miss(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few kills show that the command works; by hand it makes hundreds."""
    assert main(["--kills", "4", "--seed", "1", "--only", kind]) == 0
    assert f"| {kind} | 4 |" in capsys.readouterr().out


def test_sign_ins_that_are_not_entered_are_found_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sessions live, and neither the list nor a sign-out everywhere knows them."""

    def entered_nowhere(*_: Any) -> Any:
        return None
        yield

    monkeypatch.setattr(saving, "enter_claim", entered_nowhere)
    assert main(["--kills", "4", "--seed", "1", "--only", "SqliteStorage"]) == 1
    row = capsys.readouterr().out.splitlines()[-1]
    assert int(row.split(" | ")[3]) > 0
