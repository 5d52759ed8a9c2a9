"""What commands write: tables for people, JSON for programs."""

import io
import json

import pytest

from coatcheck._commands.output import Output, reason_of


def test_a_table_fits_80_columns_and_has_no_colour_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long cell is broken; square brackets are no markup."""
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    Output(out=out).table(("", "what"), [("ok", "[bold] word " * 30)])
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "[bold]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_cell_does_nothing_to_the_terminal() -> None:
    """A client may have chosen a label."""
    out = io.StringIO()
    Output(out=out).table(("", "label"), [("ok", "Fire\x1b[2Jfox\x9b1m \u202e é\nnext")])
    assert "Fire\ufffd[2Jfox\ufffd1m \ufffd é" in out.getvalue()
    assert "next" in out.getvalue()


@pytest.mark.parametrize("breaks", [0, 1, None])
def test_one_column_is_broken_and_no_other_is_cut(
    breaks: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a handle can be copied, a time is one word, and a long key hides no size."""
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    row = ["2Arje5Yah4rOoNSVlZC7", "2026-11-25 18:02", "2026-11-25 20:40"]
    row[2 if breaks is None else breaks] = "k" * 120
    Output(out=out).table(("a", "b", "c"), [row], breaks=breaks)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "…" not in out.getvalue()
    assert all(each in out.getvalue() for each in row if "k" not in each)
    assert out.getvalue().count("k") == 120


def test_numbers_stand_below_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their last digits do."""
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    Output(out=out).table(("what", "how many"), [("a", "1,200"), ("b", "7")])
    *_, first, second = out.getvalue().splitlines()
    assert first.index("1,200") + 4 == second.index("7")


def test_json_is_one_value() -> None:
    """With every character as it is."""
    out = io.StringIO()
    Output(as_json=True, out=out).value({"name": "café"})
    assert json.loads(out.getvalue()) == {"name": "café"}
    assert "café" in out.getvalue()


def test_a_bar_is_shown_only_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets nothing of it."""
    with Output(out=io.StringIO()).progress("looking") as show:
        show(0.5)
    assert capsys.readouterr().err == ""


def test_a_reason_is_what_the_server_said() -> None:
    """Its first line, also where another package wraps the driver's error; never twice."""
    assert reason_of(OSError(111, "Connection refused")) == "Connection refused"
    error, wrapped = ValueError("outer"), ValueError("(driver) (1146, 'no table')")
    error.__cause__ = wrapped
    wrapped.orig = Exception(1146, "no table\nDETAIL")  # type: ignore[attr-defined] # as SQLAlchemy
    assert reason_of(error) == "no table"
    assert reason_of(Exception(7)) == "Exception"
