"""
The table "Changing the id", in every order of the steps of requests that race, with lost answers.

A request reads the session of its cookie, writes one value (its own name), and may change the id or
sign out. Its answer may set the browser's cookie; a crash is an answer that was lost.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from typing import Any

import pytest

from coatcheck._cookie.base64url import pack_base64url
from coatcheck._session import lifecycle, next_state, saving, session, sign_in, user_key
from coatcheck._session.draft import Found
from coatcheck._session.ids import key_of, tag_of
from coatcheck._session.moves import ROTATES, Moves, rotated_id
from coatcheck._session.plan import Keyspace, Plan
from coatcheck._session.record import DEFAULT_TERMS, Contents, Marker, Record, Who, pack, unpack
from coatcheck._session.session import Session
from coatcheck._session.values import encode
from tests.explorer import CRASHED, End, Make, Result, ends_of

NOW = 1_700_000_000.0
SPACE = Keyspace(lambda: NOW)

Check = Callable[[End], str | None]
"""Returns what is wrong with an end, or None."""


def id_of(name: str) -> str:
    return pack_base64url(sha256(name.encode()).digest()[:30])


OLD = id_of("old")
KEY = "user_id"


class Names:
    """Makes ids that depend on the request alone, so that its plan can be repeated."""

    def __init__(self) -> None:
        self.begin("nobody")

    def begin(self, name: str) -> None:
        self.ids: Iterator[str] = (id_of(f"{name}{n}") for n in count())

    def new_id(self) -> str:
        return next(self.ids)


names = Names()


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "new_id", names.new_id)
    for module in (sign_in, user_key):
        monkeypatch.setattr(module, "new_handle", lambda: "handle")
    for module in (next_state, session, sign_in):
        monkeypatch.setattr(module, "new_csrf", lambda: b"c" * 16)


def request(
    name: str,
    act: str,
    *,
    cookie: str | None = OLD,
    user: str = "u",
    browser: str = "browser",
) -> Make:
    """
    Make one request.

    Args:
        name: Names the request, and the value that it writes.
        act: "look", "save", "destroy", or what changes the id; "put" and "del" change the value of
            `user_key`.
        cookie: The id that it comes with; None: whatever the browser holds when it begins.
    """

    def make(cookies: Any) -> Plan[Result]:
        names.begin(name)
        return visit(cookie or cookies[browser])

    def visit(id: str) -> Plan[Result]:
        found: Session = (yield from lifecycle.read(id, SPACE)) if id else Session()
        if found.signed_in is None and act in ("confirm", "leave", "act_as", "stop_acting", "del"):
            return Result("nobody")
        change(found)
        value = yield from saving.save(found, SPACE)
        kept = isinstance(found._draft.origin, Found) and act != "look"
        says = "out" if act == "destroy" else "kept" if kept else "dropped"
        return Result(says, browser, value)

    def change(found: Session) -> None:
        draft = found._own
        if act == "destroy":
            found.destroy()
            return
        if act != "look":
            found[name] = 1
        if act == "rotate" and isinstance(draft.origin, Found):
            draft.move(ROTATES)
        elif act == "regenerate":
            found.regenerate_id()
        elif act == "confirm":
            found.confirm()
        elif act == "sign_in":
            found.sign_in(user)
        elif act == "leave":
            draft.move(Moves("leave", Who(former="u"), b"d" * 16))
        elif act == "act_as":
            found.act_as(user)
        elif act == "stop_acting":
            found.stop_acting()
        elif act in ("put", "del"):
            if act == "put":
                found[KEY] = user
            else:
                found.unset(KEY)
            user_key.follow(found._own, KEY)

    return make


def stored(user: str | None, *keys: str, actor: str | None = None) -> dict[str, bytes]:
    """Return a store with one session under the old id."""
    who = Who(user, "handle", NOW, NOW, actor=actor) if user else None
    values = {key: encode(key, user if key == KEY else 1) for key in keys}
    body = Contents(values, who=who, csrf=b"c" * 16)
    record = Record(tag_of(key_of(OLD)), b"", NOW, NOW, NOW + DEFAULT_TERMS.idle, body)
    return {key_of(OLD): pack(record)}


ANONYMOUS, SIGNED_IN = stored(None, "cart"), stored("u", "cart")
KEPT_BY_KEY, ACTING = stored("u", "cart", KEY), stored("w", "cart", actor="u")
COOKIES = {"browser": OLD, "thief": OLD}


def explore(
    requests: list[Make], store: dict[str, bytes], crash: tuple[int, ...] = ()
) -> list[End]:
    return ends_of(requests, store, COOKIES, crash)


def record_at(end: End, id: str) -> Record | None:
    """Return the session that a request with this id would find."""
    for _ in range(4):
        data = end.store.get(key_of(id)) if id else None
        kept = unpack(data, tag_of(key_of(id))) if data else None
        if isinstance(kept, Record):
            return kept
        next_id = rotated_id(kept, id, 0.0) if isinstance(kept, Marker) else None
        if next_id is None:
            return None
        id = next_id
    return None


def user_of(record: Record) -> str | None:
    return record.body.who.user if record.body.who else None


def sessions_of(end: End, user: str | None) -> list[Record]:
    kept = [unpack(data, tag_of(key)) for key, data in end.store.items()]
    return [each for each in kept if isinstance(each, Record) and user_of(each) == user]


# What must hold at every end


def stays(user: str | None, *writers: str) -> Check:
    """The browser is signed in; what the requests wrote is there, if they say that it was kept."""

    def check(end: End) -> str | None:
        record = record_at(end, end.cookies["browser"])
        if record is None:
            return "the browser has no session"
        if user_of(record) != user:
            return f"the browser is {user_of(record)}"
        kept = {name for name, says in zip(writers, end.results, strict=False) if says == "kept"}
        lost = kept - record.body.values.keys()
        return f"lost: {sorted(lost)}" if lost else None

    return check


def one_session(user: str) -> Check:
    return lambda end: None if len(sessions_of(end, user)) == 1 else "not one session"


def lives(user: str) -> Check:
    return lambda end: None if sessions_of(end, user) else f"no session of {user} is left"


def ended(user: str) -> Check:
    """A sign-out ended every session of the user."""
    return lambda end: "it lives" if "out" in end.results and sessions_of(end, user) else None


def no_more_than_one(end: End) -> str | None:
    """Whoever acts, and as whom: one session, without what the other user's request wrote."""
    records = sessions_of(end, "u") + sessions_of(end, "w")
    if len(records) != 1:
        return f"{len(records)} sessions"
    own = user_of(records[0])
    return "mixed" if ({"u", "w"} - {own}) & records[0].body.values.keys() else None


def left(user: str) -> Check:
    """The user was taken away by the first request, and no session of theirs is left."""
    return lambda end: "it lives" if end.results[0] == "kept" and sessions_of(end, user) else None


def nobody_finds(user: str) -> Check:
    """No known cookie leads to a session of the user; a crash may leave a record without one."""

    def check(end: End) -> str | None:
        found = [record_at(end, id) for id in (OLD, *end.cookies.values())]
        reached = any(record and user_of(record) == user for record in found)
        return "it is found" if "out" in end.results and reached else None

    return check


def thief_is_nobody(*, first: bool = False) -> Check:
    """
    If the victim's change was kept, the thief's cookies lead to nothing of the victim's.

    Args:
        first: The thief may have changed the id of a visitor's session first, and keeps that one.
    """

    def check(end: End) -> str | None:
        if end.results[0] != "kept":
            return None
        for id in (OLD, end.cookies["thief"]):
            record = record_at(end, id)
            if record and (user_of(record) == "u" or ("cart" in record.body.values and not first)):
                return f"the thief is {user_of(record)}"
        return None

    return check


def not_mixed(end: End) -> str | None:
    """No session holds what requests of two users wrote."""
    mixed = [
        record
        for user, other in (("u", "v"), ("v", "u"))
        for record in sessions_of(end, user)
        if other in record.body.values
    ]
    return "two users in one session" if mixed else None


rotates, again = request("r", "rotate"), request("q", "rotate")
click, click2 = request("p", "sign_in"), request("s", "sign_in")
out = request("o", "destroy")
x, y = request("x", "save"), request("y", "save")


def thief(act: str, **more: Any) -> Make:
    return request("t", act, browser="thief", **more)


CASES: dict[str, tuple[list[Make], dict[str, bytes], list[Check], tuple[int, ...]]] = {
    "rotation, save, save": ([rotates, x, y], SIGNED_IN, [stays("u", "r", "x", "y")], ()),
    "rotation, save, lost answers": (
        [rotates, x, request("l", "save", cookie=None)],
        SIGNED_IN,
        [stays("u", "r", "x", "l")],
        (0, 1),
    ),
    "two rotations, save": ([rotates, again, x], SIGNED_IN, [stays("u", "r", "q", "x")], ()),
    "rotation, a later rotation, an old request": (
        [rotates, request("q", "rotate", cookie=None), x],
        SIGNED_IN,
        [stays("u", "r", "q", "x")],
        (),
    ),
    "rotation, confirm, save": (
        [rotates, request("c", "confirm"), x], SIGNED_IN, [stays("u")], (),
    ),
    "rotation, later confirm, look": (
        [rotates, request("c", "confirm", cookie=None), request("x", "look")],
        SIGNED_IN,
        [stays("u", "r", "c")],
        (),
    ),
    "rotation, new id, save": (
        [rotates, request("n", "regenerate"), x], SIGNED_IN, [stays("u")], (),
    ),
    "two confirms": (
        [request("c", "confirm"), request("d", "confirm")],
        SIGNED_IN,
        [stays("u", "c", "d"), one_session("u")],
        (),
    ),
    "confirm, its answer lost; signs in again": (
        [request("c", "confirm"), click], SIGNED_IN, [stays("u", "c", "p")], (0,),
    ),
    "two clicks on sign in": (
        [click, click2], ANONYMOUS, [stays("u", "p", "s"), one_session("u")], (),
    ),
    "two clicks on sign in, a lost answer": (
        [click, click2], ANONYMOUS, [stays("u", "p", "s")], (0,),
    ),
    "two clicks and a save": ([click, click2, x], ANONYMOUS, [stays("u")], ()),
    "two users at once": (
        [request("u", "sign_in", user="u"), request("v", "sign_in", user="v")],
        ANONYMOUS,
        [not_mixed, lives("u"), lives("v")],
        (),
    ),
    "another user, a late save": (
        [request("v", "sign_in", user="v"), request("u", "save")],
        SIGNED_IN,
        [not_mixed, stays("v")],
        (),
    ),
    "new ids at once, anonymous": (
        [request("n", "regenerate"), request("m", "regenerate")], ANONYMOUS, [stays(None)], (),
    ),
    "new ids at once, anonymous, a lost answer": (
        [request("n", "regenerate"), request("m", "regenerate")], ANONYMOUS, [stays(None)], (0,),
    ),
    "confirm, new id": (
        [request("c", "confirm"), request("n", "regenerate")], SIGNED_IN, [stays("u")], (),
    ),
    "sign-out, rotation": ([out, rotates], SIGNED_IN, [ended("u")], ()),
    "sign-out, rotation, a crash": ([out, rotates], SIGNED_IN, [nobody_finds("u")], (1,)),
    "sign-out, rotation, save": ([out, rotates, x], SIGNED_IN, [ended("u")], ()),
    "sign-out, two rotations": ([out, rotates, again], SIGNED_IN, [ended("u")], ()),
    "sign-out, new id": ([out, request("n", "regenerate")], SIGNED_IN, [ended("u")], ()),
    "sign-out, confirm, rotation": (
        [out, request("c", "confirm"), rotates], SIGNED_IN, [ended("u")], (),
    ),
    "user taken away, rotation, save": (
        [request("o", "leave"), rotates, x], SIGNED_IN, [left("u")], (),
    ),
    "user taken away, confirm": (
        [request("o", "leave"), request("c", "confirm")], SIGNED_IN, [left("u")], (),
    ),
    "user taken away, new id": (
        [request("o", "leave"), request("n", "regenerate")], SIGNED_IN, [left("u")], (),
    ),
    "user_key: two sign-ins at once": (
        [request("p", "put"), request("s", "put")],
        ANONYMOUS,
        [stays("u", "p", "s"), one_session("u")],
        (),
    ),
    "user_key: a sign-in joins an explicit one, a lost answer": (
        [click, request("s", "put")], ANONYMOUS, [stays("u", "p", "s")], (0,),
    ),
    "user_key: two users at once": (
        [request("u", "put", user="u"), request("v", "put", user="v")],
        ANONYMOUS,
        [not_mixed, lives("u"), lives("v")],
        (),
    ),
    "user_key: another user, a late save": (
        [request("v", "put", user="v"), request("u", "save")],
        KEPT_BY_KEY,
        [not_mixed, stays("v")],
        (),
    ),
    "user_key: taken away, rotation, save": (
        [request("o", "del"), rotates, x], KEPT_BY_KEY, [left("u")], (),
    ),
    "user_key: taken away, confirm": (
        [request("o", "del"), request("c", "confirm")], KEPT_BY_KEY, [left("u")], (),
    ),
    "user_key: taken away twice": (
        [request("o", "del"), request("m", "del")], KEPT_BY_KEY, [left("u"), stays(None)], (),
    ),
    "user_key: taken away, another user signs in": (
        [request("o", "del"), request("v", "put", user="v")],
        KEPT_BY_KEY,
        [not_mixed, left("u")],
        (),
    ),
    "the same act_as twice": (
        [request("p", "act_as", user="w"), request("s", "act_as", user="w")],
        SIGNED_IN,
        [stays("w", "p", "s"), one_session("w")],
        (),
    ),
    "act_as, a late save": (
        [request("v", "act_as", user="v"), request("u", "save")],
        SIGNED_IN,
        [not_mixed, stays("v")],
        (),
    ),
    "act_as, sign-out": (
        [out, request("u", "act_as", user="w")], SIGNED_IN, [ended("u"), ended("w")], (),
    ),
    "act_as, confirm": (
        [request("w", "act_as", user="w"), request("u", "confirm")],
        SIGNED_IN,
        [no_more_than_one],
        (),
    ),
    "stop_acting twice": (
        [request("p", "stop_acting"), request("s", "stop_acting")],
        ACTING,
        [stays("u", "p", "s"), one_session("u")],
        (),
    ),
    "stop_acting, a late save": (
        [request("p", "stop_acting"), request("w", "save")], ACTING, [no_more_than_one], (),
    ),
    "stop_acting, sign-out": (
        [out, request("p", "stop_acting")], ACTING, [ended("u"), ended("w")], (),
    ),
    "sign-out by an attacker who planted the id": (
        [click, thief("destroy")], ANONYMOUS, [lives("u"), stays("u")], (),
    ),
    "sign-out of u, sign-in of v": (
        [request("v", "sign_in", user="v"), out],
        SIGNED_IN,
        [lives("v"), ended("u")],
        (),
    ),
    **{
        f"thief: {act}, victim: {change}": (
            [request("c", change), thief(act)],
            store,
            [thief_is_nobody(first=act == "regenerate")],
            (),
        )
        for act in ("look", "save", "rotate", "regenerate", "destroy")
        for change, store in (
            ("confirm", SIGNED_IN), ("regenerate", SIGNED_IN), ("sign_in", ANONYMOUS),
            ("put", ANONYMOUS),
        )
        if store is ANONYMOUS or act not in ("rotate", "regenerate")
    },
    "thief signs in elsewhere, victim: confirm": (
        [request("c", "confirm"), thief("sign_in", user="w")], SIGNED_IN, [thief_is_nobody()], (),
    ),
}  # fmt: skip
"""Requests, the session they begin with, what must hold at every end, who may crash."""


@pytest.mark.parametrize("case", CASES)
def test_a_row_of_the_table_holds_in_every_order(case: str) -> None:
    """Nobody is signed out by a change of id, and who holds an old id can sign out at most."""
    requests, store, checks, crash = CASES[case]
    ends = explore(requests, store, crash)
    assert len(ends) > 1
    for end in ends:
        assert [wrong for check in checks if (wrong := check(end))] == [], (end.results, len(ends))


def test_a_lost_answer_to_a_lone_confirm_asks_to_sign_in_again() -> None:
    """This is the one place where a lost answer costs the session: the old id is worth nothing."""
    ends = explore([request("c", "confirm")], SIGNED_IN, (0,))
    lost = [end for end in ends if end.results == [CRASHED] and len(sessions_of(end, "u")) == 1]
    assert any(record_at(end, OLD) is None for end in lost)
