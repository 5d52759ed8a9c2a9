"""The results of a doctor: one for each check, and what they come to."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from coatcheck._commands.output import Output

State = Literal["ok", "info", "warn", "fail"]


class Check(NamedTuple):
    """One check: what came out, what was looked at, and what to do."""

    state: State
    name: str
    text: str


def write(checks: Iterable[Check], output: Output) -> int:
    """Write the checks, and return the exit code: 1 if one failed."""
    found = list(checks)
    if output.as_json:
        output.value([each._asdict() for each in found])
    else:
        output.table(("", "check", "what was found"), found)
    return 1 if any(each.state == "fail" for each in found) else 0
