"""
The rules of rosters in every order of the calls of several requests, with a crash before any call.

The plans of the package run over a dict. A rule that is broken on purpose shows that the cases find
it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from coatcheck._session import listed, roster_plans, saving
from coatcheck._session.plan import Delete, Plan, There
from coatcheck._session.roster import Roster, Row, put_back, row_of
from tests._session.roster_cases import CASES, LONG, broken
from tests._session.roster_scenes import fix_names
from tests.thorough import crossed

SHORT = sorted(CASES.keys() - LONG)
A_SECOND = {
    "limit 1: sign-in, rotation, crashes",
    "limit 1: two clicks and another sign-in",
    "limit 2: 2 sign-ins, two there",
    "end all others and a new id in one request, another new id",
}
"""Each has thousands of orders; the others show the same rules in fewer."""


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_names(monkeypatch)


@pytest.mark.parametrize("case", crossed(SHORT, always=set(SHORT) - A_SECOND))
def test_a_roster_keeps_its_promises_in_every_order(case: str) -> None:
    """Every session is on the roster, what was ended stays ended, and what was promised lives."""
    ends, wrong = broken(case)
    assert ends
    assert wrong == []


def enters_nothing(*_: Any) -> Plan[None]:
    """Break rule 1: a key is on the roster before its record exists."""
    return None
    yield


def deletes(_: roster_plans.Listing, there: There, __: float = 0.0) -> Plan[There]:
    """Break rule 2: a session is ended by a tombstone, also where no record is."""
    yield Delete(there.key)
    return there


def ends_itself(roster: Roster, limit: int, *_: float, **__: str) -> tuple[Row, ...]:
    """Break rule 5: a limit ends no sign-in by itself."""
    return roster.rows[: max(0, len(roster.rows) - limit)]


def heals_blindly(listing: roster_plans.Listing, there: There, record: Any) -> Plan[There | None]:
    """Break rule 7: the record is read again after its row was put back."""
    row = row_of(there.key, record.body.who, since=1.0, now=1.0, expires=record.expires)
    yield from roster_plans.change(listing, lambda roster: put_back(roster, row))
    return there


@pytest.mark.parametrize(
    ("module", "name", "wrong", "case"),
    [
        (saving, "enter_claim", enters_nothing, "2 sign-ins, crashes"),
        (roster_plans, "bury_there", deletes, "old sign-in, revocation"),
        (roster_plans, "over", ends_itself, "limit 1: two clicks on sign in"),
        (listed, "heal", heals_blindly, "end, new id, crashes"),
    ],
)
def test_a_broken_rule_is_found(
    module: Any, name: str, wrong: Callable[..., Any], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the rules carries something: without it a case fails."""
    monkeypatch.setattr(module, name, wrong)
    assert broken(case)[1]
