"""
Requests and acts on the sessions of the user "u", to be run in every order of their calls.

Session "a" is signed in since 1; its handle is "a", whatever its id is. So it is with "z". A
sign-in that is called "b" makes a session with the handle "b". "x" is the session of a visitor.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from itertools import count

import pytest

from coatcheck._cookie.base64url import pack_base64url
from coatcheck._session import lifecycle, next_state, saving, session, sign_in, user_plans
from coatcheck._session.draft import Found, Visitor
from coatcheck._session.ids import key_of, tag_of
from coatcheck._session.moves import ROTATES, By
from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.record import Contents, Record, Terms, Who, pack, unpack
from coatcheck._session.roster import Roster, Row, pack_roster, roster_digest, unpack_roster
from coatcheck._session.roster_plans import Rosters, end_all
from coatcheck._session.session import Session, showing
from coatcheck._session.values import encode
from tests.explorer import CRASHED, End, Make, Result

NOW, IDLE = 1000.0, 100.0
SPACE = Keyspace(lambda: NOW)
ROSTER = roster_digest(b"", "u")


class Names:
    """Makes ids and handles that depend on the request alone, so that its plan can be repeated."""

    def __init__(self) -> None:
        self.begin("nobody")

    def begin(self, name: str) -> None:
        self.name = name
        self.ids: Iterator[str] = (id_of(f"{name}{n}") for n in count())


names = Names()


def fix_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ids, handles and CSRF values be those of the requests."""
    monkeypatch.setattr(saving, "new_id", lambda: next(names.ids))
    monkeypatch.setattr(sign_in, "new_handle", lambda: names.name)
    for module in (next_state, session, sign_in):
        monkeypatch.setattr(module, "new_csrf", lambda: b"c" * 16)


def id_of(name: str) -> str:
    return pack_base64url(sha256(name.encode()).digest()[:30])


def terms(limit: int = 9) -> Terms:
    rosters = Rosters(owners=(b"",), limit=limit, lasts=10_000.0)
    return Terms(idle=IDLE, clock=SPACE.clock, rosters=rosters)


LISTING = Rosters(owners=(b"",), limit=9, lasts=10_000.0)


# ---- what is stored at the beginning


def record_of(name: str, user: str | None = "u", *, expires: float = NOW + IDLE) -> bytes:
    who = Who(user=user, handle=name, signed_in_at=1.0, confirmed_at=1.0) if user else None
    body = Contents({"cart": encode("cart", 1)}, who=who, csrf=b"c" * 16)
    return pack(Record(tag_of(key_of(id_of(name))), b"", 1.0, 1.0, expires, body))


def store_of(*stored: str, listed: str = "", old: bool = False) -> dict[str, bytes]:
    """
    Return a store with sessions and a roster.

    Args:
        stored: Names of sessions; "x" is a visitor's.
        listed: Names of those that the roster lists, in their order.
        old: They are due for a refresh.
    """
    expires = NOW + IDLE * (0.5 if old else 1)
    records = {
        key_of(id_of(name)): record_of(name, None if name == "x" else "u", expires=expires)
        for name in stored
    }
    rows = tuple(
        Row(bytes.fromhex(key_of(id_of(name))), name, 1.0, 1.0, 1.0, expires) for name in listed
    )
    roster = Roster(0.0, rows, expires=NOW + IDLE)
    return {**records, ROSTER: pack_roster(roster, tag_of(ROSTER), None)}


# ---- requests


def visitor(name: str, began: float, limit: int = 9) -> Make:
    """A visitor without a cookie signs in; the request was read at *began*."""

    def make(_: Mapping[str, str]) -> Plan[Result]:
        names.begin(name)
        found = showing(Visitor(terms=terms(limit), began=began))
        found.sign_in("u")
        yield from saving.save(found, SPACE)
        return Result(f"in {name}" if kept(found) else "refused")

    return make


def kept(found: Session) -> bool:
    return isinstance(found._draft.origin, Found)


def request(name: str, cookie: str, act: Callable[[Session], object], limit: int = 9) -> Make:
    """A request reads the session of its cookie, and does something to it."""

    def make(_: Mapping[str, str]) -> Plan[Result]:
        return visit(name, cookie, act, limit)

    return make


def visit(name: str, cookie: str, act: Callable[[Session], object], limit: int = 9) -> Plan[Result]:
    names.begin(name)
    read = yield from lifecycle.read(id_of(cookie), SPACE)
    found = lifecycle.admit(read, terms(limit), visitor=Visitor(terms=terms(limit), began=NOW))
    if act is not signs_in and found.signed_in is None:
        return Result("nobody")
    act(found)
    yield from saving.save(found, SPACE)
    if act is Session.destroy:
        return Result("out")
    return Result(f"in {name}" if act is signs_in and kept(found) else said(found, act))


def said(found: Session, act: object) -> str:
    if not kept(found):
        return "dropped"
    return "moved" if act in (rotates, Session.regenerate_id, Session.confirm) else "kept"


def signs_in(found: Session) -> None:
    found.sign_in("u")


def rotates(found: Session) -> None:
    found._own.move(ROTATES)


def writes(found: Session) -> None:
    found["n"] = 1


def looks(_: Session) -> None:
    """A refresh is due."""


def moves(name: str, by: By = "regenerate") -> Make:
    """A request changes the id of session "a"."""
    acts: dict[str, Callable[[Session], object]] = {
        "regenerate": Session.regenerate_id, "rotate": rotates, "confirm": Session.confirm,
    }  # fmt: skip
    return request(name, "a", acts[by])


def signs_out(name: str = "o") -> Make:
    return request(name, "a", Session.destroy)


# ---- acts of the user


def revokes_all(at: float) -> Make:
    def make(_: Mapping[str, str]) -> Plan[Result]:
        yield from end_all(LISTING.of("u", SPACE), at)
        return Result("revoked")

    return make


def ends(handle: str) -> Make:
    def make(_: Mapping[str, str]) -> Plan[Result]:
        yield from user_plans.end(LISTING, SPACE, "u", handle)
        return Result("ended")

    return make


def ends_others(*, then: Callable[[Session], object] | None = None) -> Make:
    """The user of session "a" ends all others, and perhaps goes on in the same request."""

    def make(_: Mapping[str, str]) -> Plan[Result]:
        names.begin("e")
        read = yield from lifecycle.read(id_of("a"), SPACE)
        found = lifecycle.admit(read, terms(), visitor=Visitor(terms=terms(), began=NOW))
        if found.signed_in is None:
            return Result("nobody")
        yield from user_plans.end_others(LISTING, SPACE, found)
        if then is None:
            return Result("others ended")
        then(found)
        yield from saving.save(found, SPACE)
        return Result(f"others ended, {said(found, then)}")

    return make


def in_turn(*acts: Make) -> Make:
    """One after another."""

    def make(cookies: Mapping[str, str]) -> Plan[Result]:
        says = ""
        for act in acts:
            result = yield from act(cookies)
            says = f"{says}, {result.says}" if says else result.says
        return Result(says)

    return make


# ---- what must hold at every end


def living(end: End) -> dict[str, Record]:
    """Return the sessions of the user, by key."""
    found = {}
    for key, data in end.store.items():
        kept = unpack(data, tag_of(key)) if key != ROSTER else None
        if isinstance(kept, Record) and kept.body.who and kept.body.who.user == "u":
            found[key] = kept
    return found


def roster_at(end: End) -> Roster:
    return unpack_roster(end.store[ROSTER], tag_of(ROSTER), None)


def wrong_with(
    end: End, *, cutoff: float = 0.0, limit: int = 0, spared: bool = False, moves: bool = False
) -> list[str]:
    """
    Return what is wrong with an end.

    Args:
        cutoff: Nothing that began before it may live after "revoked".
        limit: How many sessions may live.
        spared: Session "a" must live.
        moves: No change of an id may be dropped.
    """
    sessions = living(end)
    handles = {who.handle for each in sessions.values() if (who := each.body.who)}
    says = {each for result in end.results for each in result.split(", ")}
    whole = CRASHED not in says
    rows = {row.key.hex(): row for row in roster_at(end).rows}
    ended = says & {"out", "revoked", "ended", "others ended"}
    promised = {each.removeprefix("in ") for each in says if each.startswith("in ")}
    old = any(rows[key].since < cutoff for key in sessions if key in rows)
    wrong = {
        "a session is not on the roster": sessions.keys() - rows.keys(),
        "a session from before the cut-off lives": "revoked" in says and old,
        "there are more sessions than the limit": limit and whole and len(sessions) > limit,
        "nobody is left": limit and whole and not sessions and not ended,
        "a session was ended and lives": "a" in handles and "ended" in says,
        "a session was signed out and lives": "a" in handles and "out" in says and whole,
        "the spared session does not live": spared and whole and "a" not in handles,
        "another session was to end and lives": "others ended" in says and "z" in handles,
        "a change of id was dropped": moves and "dropped" in says,
        "a sign-in was promised and does not live": (
            whole and not limit and not ended and promised and not promised & handles
        ),
        "a new id was promised and does not live": (
            whole and not limit and not ended and "moved" in says and "a" not in handles
        ),
    }
    return [rule for rule, broken in wrong.items() if broken]
