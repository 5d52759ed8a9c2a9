"""The state of a session in one request: where it came from, what becomes of it, its log."""

from collections.abc import Callable
from typing import Any

import pytest

from coatcheck import BackendError, ConfigurationError, ResponseStarted, Session, SessionDestroyed
from coatcheck._session.changes import Append, Clear, Consume, Set, SetDefault, Unset
from coatcheck._session.draft import (
    NEW,
    VISITOR,
    Carried,
    Draft,
    Found,
    Given,
    Lapsed,
    Lost,
    Moved,
    Origin,
    Unread,
    Visitor,
)
from coatcheck._session.moves import ROTATES, Moves
from coatcheck._session.record import Contents, Marker, Record, Terms, Who
from coatcheck._session.values import encode

ONE, TWO = encode("key", 1), encode("key", 2)


def contents(**values: object) -> Contents:
    return Contents({key: encode(key, value) for key, value in values.items()})


def found(who: Who | None = None, **values: object) -> Draft:
    """Return a draft of a session that was stored, with a flash."""
    body = contents(**values)
    body.flashes, body.who = {"notice": ONE}, who
    record = Record(b"", b"", 1.0, 1.0, 2000.0, body)
    return Draft(body, origin=Found(record, "id", 7, 1000.0), shown=dict(body.flashes))


def values(draft: Draft) -> dict[str, object]:
    return {key: draft.value(key) for key in draft.contents.values}


# Where the session came from


ORIGINS: list[tuple[Origin, str | None]] = [
    (NEW, None),
    (Found(Record(b"", b"", 1, 1, 2, Contents()), "hunter2", 7, 1.0), "hunter2"),
    (Carried(Record(b"", b"", 1, 1, 2, Contents()), "hunter2", None, 1.0), "hunter2"),
    (Given("hunter2"), "hunter2"),
    (Lapsed("hunter2", 7), None),
    (Moved(Marker(b"", 1.0, "other"), "hunter2", 1.0), None),
    (Lost("another request ended it"), None),
    (Unread(BackendError("the server", "read")), None),
]


@pytest.mark.parametrize(("origin", "issued"), ORIGINS, ids=lambda value: type(value).__name__)
def test_an_origin_tells_the_id_that_the_client_holds(origin: Origin, issued: str | None) -> None:
    """If it leads to this session; a record is known of sessions that are stored."""
    draft = Draft(origin=origin)
    assert draft.issued == issued
    assert (draft.found is origin) is isinstance(origin, Found)


@pytest.mark.parametrize(("origin", "_"), ORIGINS, ids=lambda value: type(value).__name__)
def test_no_repr_shows_an_id(origin: Origin, _: object) -> None:
    """It is a credential, and a draft may end up in a traceback."""
    assert repr(origin) == f"<{type(origin).__name__}>"
    assert repr(Draft(origin=origin)) == "<Draft>"


def test_the_time_is_the_storages_clock() -> None:
    """Without one, it is when the session was read; a new one gets its times at the save."""
    assert Draft(terms=Terms(clock=lambda: 5.0)).now == 5.0
    assert found().now == 1000.0
    assert Draft().now == 0.0


# The log


def test_a_change_is_made_and_remembered() -> None:
    """What was read is not touched: it may serve another request."""
    draft = found(a=1)
    read = draft.base
    draft.write(Set("a", TWO))
    draft.write(Set("b", TWO))
    assert values(draft) == {"a": 2, "b": 2}
    assert draft.log == [Set("a", TWO), Set("b", TWO)]
    assert (read.values, draft.changed, draft.touched) == ({"a": ONE}, True, True)


def test_a_log_can_be_replayed_on_what_another_request_left() -> None:
    """In order, and as often as the save loses a race."""
    draft = found(a=1)
    draft.write(Set("b", ONE))
    draft.write(Unset("a"))
    for _ in range(2):
        assert draft.replayed(contents(a=9, c=9)).values == contents(c=9, b=1).values


def test_reading_what_cannot_change_touches_nothing() -> None:
    """What can change in place is compared before the save."""
    draft = found(n=1, cart=[1])
    assert draft.value("n") == 1
    assert not draft.touched
    assert draft.value("cart") is draft.value("cart")
    assert draft.touched
    assert not draft.changed


def test_a_change_in_place_is_found_once() -> None:
    """Noting it twice makes one step."""
    draft = found(cart=[1])
    draft.value("cart").append(2)
    for _ in range(2):
        draft.note_changes_in_place()
        assert draft.log == [Append("cart", encode("cart", [1]), [TWO])]


def test_what_was_handed_in_is_watched() -> None:
    """A handler may go on changing the object that it put there; another one takes its place."""
    draft = Draft()
    mine: list[int] = []
    draft.put("cart", mine, encode("cart", mine))
    mine.append(1)
    draft.note_changes_in_place()
    assert values(draft) == {"cart": [1]}
    draft.put("cart", 1, ONE)
    mine.append(2)
    draft.note_changes_in_place()
    assert values(draft) == {"cart": 1}


def test_a_value_whose_key_an_upgrade_took_is_set() -> None:
    """What a handler holds and changes is not lost with the key that it had."""

    class Renames:
        name = "an upgrade"

        def replay(self, contents: Contents) -> bool:
            contents.values["basket"] = contents.values.pop("cart")
            return True

    draft = found(cart=[1])
    draft.value("cart").append(2)
    draft.write(Renames())
    draft.note_changes_in_place()
    assert values(draft) == {"basket": [1], "cart": [1, 2]}


def test_putting_what_is_there_is_no_change() -> None:
    """The object counts from now on, though."""
    draft = found(cart=[1], n=1)
    mine = [1]
    draft.put("n", 1, ONE)
    draft.put("cart", mine, encode("cart", mine))
    assert not draft.changed
    assert draft.value("cart") is mine


def test_a_default_is_put_once() -> None:
    """It is a step of its own: on what another request put there, it does nothing."""
    draft = Draft()
    cart: list[int] = []
    draft.put_default("cart", cart, encode("cart", cart))
    cart.append(1)
    draft.note_changes_in_place()
    first, second = draft.log
    assert isinstance(first, SetDefault)
    assert isinstance(second, Append)
    assert draft.replayed(contents(cart=[9])).values == contents(cart=[9, 1]).values


def test_what_was_handed_out_can_be_let_go() -> None:
    """After a failed request, changes inside it are seen no more."""
    draft = found(cart=[1])
    draft.value("cart").append(2)
    assert draft.watches()
    draft.forget()
    assert not draft.watches()
    draft.note_changes_in_place()
    assert not draft.changed


def test_a_flash_is_consumed_when_it_is_read() -> None:
    """Once, however often this request reads it; one that was left since is another."""
    draft = found()
    assert (draft.flashed("notice"), draft.flashed("notice")) == (1, 1)
    assert draft.log == [Consume("notice", ONE)]
    draft = found()
    draft.contents = Contents(flashes={"notice": encode("notice", 1)})
    assert draft.flashed("notice") == 1
    assert draft.log == []


def test_flashes_can_be_left_for_another_request() -> None:
    """Nobody sees this response: what was read waits, other changes stay."""
    draft = found()
    draft.flashed("notice")
    draft.write(Set("a", ONE))
    draft.leave_flashes()
    assert draft.log == [Set("a", ONE)]
    assert draft.contents.flashes == {"notice": ONE}


def test_clearing_is_a_step() -> None:
    """Of a session that is stored, or holds anything; else there is nothing to clear."""
    stored, new, filled = found(cart=[1]), Draft(), Draft()
    stored.value("cart").append(2)
    filled.write(Set("a", ONE))
    for draft in (stored, new, filled):
        draft.clear()
        draft.note_changes_in_place()
        assert draft.contents.empty
    assert stored.log == [Clear()]
    assert new.log == []
    assert [change.name for change in filled.log] == ["set()", "clear()"]
    assert stored.shown == {}


# What becomes of it


def test_an_ended_session_takes_no_change() -> None:
    """Its log is gone with what it held."""
    draft = found(a=1)
    draft.write(Set("b", ONE))
    for _ in range(2):
        draft.end()
    assert (draft.fate, draft.log, draft.contents.empty, draft.changed) == ("ends", [], True, True)
    with pytest.raises(SessionDestroyed):
        draft.write(Set("a", ONE))
    with pytest.raises(SessionDestroyed):
        draft.move(ROTATES)


def test_a_session_that_could_not_be_read_cannot_be_ended() -> None:
    """Nobody may believe to be signed out who is not."""
    with pytest.raises(BackendError, match="the server"):
        Draft(origin=Unread(BackendError("the server", "read"))).end()


@pytest.mark.parametrize(
    ("reach", "write", "move"),
    [("client", True, True), ("record", True, False), ("nothing", False, False)],
)
def test_a_change_that_comes_too_late_is_loud(reach: Any, *, write: bool, move: bool) -> None:
    """The error names it; a new id must reach the client."""
    steps: list[tuple[str, Callable[[Draft], None], bool]] = [
        ("set()", writes, write),
        ("regenerate_id()", moves, move),
    ]
    for name, step, reaches in steps:
        draft = found()
        draft.reach = reach
        if reaches:
            step(draft)
        else:
            with pytest.raises(ResponseStarted) as raised:
                step(draft)
            assert raised.value.change == name
        assert draft.changed is reaches


def writes(draft: Draft) -> None:
    draft.write(Set("a", ONE))


def moves(draft: Draft) -> None:
    draft.move(Moves("regenerate", csrf=b"after"))


def test_a_move_takes_the_changes_along() -> None:
    """Those before it and those after it, also in place."""
    draft = found(cart=[1])
    draft.id = "shown"
    draft.value("cart").append(2)
    moves(draft)
    draft.value("cart").append(3)
    draft.write(Set("a", ONE))
    draft.note_changes_in_place()
    assert values(draft) == {"cart": [1, 2, 3], "a": 1}
    assert draft.id is None
    assert draft.contents.csrf == b"after"
    assert draft.base.values == {"cart": encode("cart", [1])}


def test_what_another_user_left_goes_with_a_sign_in() -> None:
    """But not what this request wrote; what was handed out of it is watched no more."""
    draft = found(Who("ada"), cart=[1], theme=1)
    cart = draft.value("cart")
    draft.flashed("notice")
    draft.write(Set("mine", ONE))
    draft.move(Moves("sign_in", Who("bob"), keep=frozenset({"theme"})))
    cart.append(2)
    draft.note_changes_in_place()
    assert values(draft) == {"theme": 1, "mine": 1}
    assert (draft.shown, draft.contents.flashes) == ({}, {})


def test_flashes_that_stay_can_still_be_read() -> None:
    """After a move of the same user, also one that was read before it."""
    draft = found(Who("ada"))
    draft.flashed("notice")
    draft.move(Moves("confirm", Who("ada")))
    assert draft.flashed("notice") == 1
    assert draft.contents.flashes == {}


def test_a_stronger_move_is_not_taken_back() -> None:
    """regenerate_id() after sign_in() does nothing more."""
    draft = found()
    sign_in = Moves("sign_in", Who("ada"))
    draft.move(sign_in)
    moves(draft)
    assert draft.fate is sign_in
    draft.move(Moves("sign_in", Who("bob")))
    assert draft.contents.who == Who("bob")


def test_a_session_of_a_storage_of_ones_own_keeps_what_it_holds() -> None:
    """It shows no record: what the handler holds goes on being watched after a move."""
    session = Session({"cart": [1], "n": 1}, id="id")
    cart = session["cart"]
    cart.append(2)
    session.regenerate_id()
    cart.append(3)
    session.apply("n", lambda n: n + 1)
    assert session.modified
    assert dict(session) == {"cart": [1, 2, 3], "n": 2}
    assert session._draft.contents.values == contents(cart=[1, 2, 3], n=2).values


# Visitors who only look


def test_one_draft_serves_every_visitor_who_only_looks() -> None:
    """What is changed is a draft of its own, under the same terms."""
    visitor = Visitor(terms=Terms(idle=5), reach="nothing")
    own = visitor.own()
    assert (visitor.shared, own.shared, own.own() is own) == (True, False, True)
    assert (own.terms, own.reach) == (visitor.terms, "nothing")
    assert VISITOR.held.empty
    assert repr(visitor) == "<Visitor>"


def test_without_a_model_there_is_no_data() -> None:
    """The error says how to give one, for reading and for writing."""
    with pytest.raises(ConfigurationError, match="data=Model"):
        Draft().data()
    with pytest.raises(ConfigurationError, match="data=Model"):
        Draft().replace_data({})
