"""The command that kills processes while they sign in and out."""

import pytest

from tests.kills import KINDS
from tests.roster_kills import main


@pytest.mark.parametrize("kind", ["SqliteStorage"])
def test_a_kill_leaves_no_session_that_a_sign_out_everywhere_would_miss(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kills show that the command works; by hand it makes hundreds."""
    monkeypatch.setattr("tests.roster_kills.KINDS", {kind: KINDS[kind]})
    assert main(["--kills", "4", "--seed", "1"]) == 0
    assert f"| {kind} | 4 |" in capsys.readouterr().out
