"""What a handler reads and changes."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coatcheck import (
    ConfigurationError,
    ResponseStarted,
    Schema,
    Session,
    SessionDestroyed,
    UnstorableValue,
)
from coatcheck._model.typed import TypedDraft
from coatcheck._session.draft import Draft
from coatcheck._session.record import Contents
from coatcheck._session.session import showing
from coatcheck._session.values import Encoded
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests._model.models import Plain

STORAGE = MemoryStorage()


def stored(flashes: dict[str, object] | None = None, **values: object) -> Session:
    """Return a session as a later request reads it."""
    session = Session()
    session.update(values)
    for key, value in (flashes or {}).items():
        session.flash(key, value)
    return later(session)


def later(session: Session) -> Session:
    """Save a session, and return it as the next request reads it."""
    return STORAGE.read(STORAGE.save(session) or session.issued_id)


def test_what_is_set_can_be_read() -> None:
    """By the methods and as a mapping."""
    session = Session()
    session.set("a", 1)
    session["b"] = 2
    assert (session.get("a"), session["b"], session.has("a"), "b" in session) == (1, 2, True, True)
    assert dict(session) == {"a": 1, "b": 2}
    assert len(session) == 2


def test_what_is_not_there_reads_as_the_default() -> None:
    """`get` never raises for a key, `[]` does."""
    session = Session()
    assert session.get("a") is None
    assert session.get("a", 7) == 7
    assert not session.has("a")
    with pytest.raises(KeyError):
        session["a"]


def test_an_unset_key_is_gone() -> None:
    """unset needs no key, del does."""
    session = stored(a=1, b=2)
    session.unset("a")
    session.unset("nothing")
    del session["b"]
    assert dict(session) == {}
    with pytest.raises(KeyError):
        del session["b"]


def test_it_works_like_a_dict() -> None:
    """What expects a dict-like session gets one."""
    session = Session()
    session.update({"a": 1}, b=2)
    assert session.setdefault("a", 5) == 1
    session.setdefault("cart", []).append(7)
    assert session.pop("b") == 2
    assert session.pop("b", None) is None
    assert session == {"a": 1, "cart": [7]}
    assert session.popitem()[0] in ("a", "cart")
    assert bool(session)
    session.clear()
    assert not session


def test_keys_are_text() -> None:
    """A key of another type is a mistake that says so."""
    session = Session()
    for write in (
        lambda: session.set(1, "a"),  # type: ignore[arg-type]
        lambda: session.flash(1, "a"),  # type: ignore[arg-type]
        lambda: session.apply(1, str),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="str keys"):
            write()
    assert session.get(1, "nothing") == "nothing"  # type: ignore[call-overload]


@pytest.mark.parametrize("write", ["set", "flash"])
def test_what_cannot_be_stored_is_refused_at_once(write: str) -> None:
    """The line that put it there raises, naming the key, and nothing has changed."""
    session = stored(a=1)
    with pytest.raises(UnstorableValue, match="'bad'"):
        getattr(session, write)("bad", object())
    assert not session.modified
    assert dict(session) == {"a": 1}


def test_a_change_inside_a_value_is_a_change() -> None:
    """Without a flag, in what was read and in what was set."""
    session = stored(cart=[1], user={"name": "Ada"})
    session["cart"].append(2)
    assert session.modified
    session = stored(user={"tags": []})
    session["user"]["tags"].append("x")
    assert session.modified
    session = stored(a=1)
    mine: list[int] = []
    session["mine"] = mine
    mine.append(1)
    assert later(session)["mine"] == [1]


def test_a_value_that_was_only_read_is_no_change() -> None:
    """Reading, also of lists and dicts, leaves the session unmodified."""
    session = stored(cart=[1], n=1)
    assert (session["cart"], session["n"], list(session.values())) == ([1], 1, [[1], 1])
    assert not session.modified


def test_setting_a_key_to_what_it_held_is_no_change() -> None:
    """The same value, also as another object."""
    session = stored(cart=[1, {"a": 2}], n=1)
    session["n"] = 1
    session["cart"] = [1, {"a": 2}]
    assert not session.modified


def test_an_object_that_was_taken_back_is_no_change() -> None:
    """What counts is the value, not the steps inside it."""
    session = stored(cart=[1])
    session["cart"].append(2)
    session["cart"].pop()
    assert not session.modified


def test_a_change_in_place_that_cannot_be_stored_names_its_key() -> None:
    """It is found when the session is saved, before anything is written."""
    session = stored(cart=[1])
    session["cart"].append(object())
    with pytest.raises(UnstorableValue, match="'cart'"):
        STORAGE.save(session)
    assert STORAGE.read(session.issued_id)["cart"] == [1]


def test_apply_changes_a_value_in_one_step() -> None:
    """The function gets the value or the default, and its result is kept and returned."""
    session = stored(n=1)
    assert session.apply("n", lambda n: n + 1) == 2
    assert session.apply("visits", lambda n: n + 1, default=0) == 1
    assert session.apply("nothing", lambda n: n) is None
    assert dict(session) == {"n": 2, "visits": 1, "nothing": None}


def test_apply_may_change_its_argument_in_place() -> None:
    """What it returns counts; neither the default nor what was read before changes."""
    default: list[int] = []
    session = Session()

    def add(cart: list[int]) -> list[int]:
        cart.append(7)
        return cart

    session.apply("cart", add, default)
    session.apply("cart", add, default)
    assert (session["cart"], default) == ([7, 7], [])


def test_apply_sees_what_was_changed_in_place_before() -> None:
    """The steps of a request keep their order."""
    session = stored(cart=[1])
    session["cart"].append(2)
    assert session.apply("cart", lambda cart: [*cart, 3]) == [1, 2, 3]


def test_a_flash_is_for_the_next_request() -> None:
    """This one does not see it."""
    session = stored(a=1)
    session.flash("notice", "Saved.")
    assert session.get("notice") is None
    assert "notice" not in session
    assert session.modified
    assert later(session)["notice"] == "Saved."


def test_a_flash_is_read_once() -> None:
    """As often as one request likes; then it is gone."""
    session = stored({"notice": "Saved."})
    assert session.has("notice")
    assert not session.modified
    assert session.get("notice") == session["notice"] == "Saved."
    assert session.modified
    assert "notice" not in later(session)


def test_looking_at_a_session_reads_no_flash() -> None:
    """Iteration, len, items, equality and repr see values alone."""
    session = stored({"notice": "Saved."}, a=1)
    assert (list(session), len(session), dict(session), session == {"a": 1}) == (
        ["a"],
        1,
        {"a": 1},
        True,
    )
    assert "Saved" not in repr(session)
    assert not session.modified


def test_a_flash_comes_before_a_value_of_the_same_key() -> None:
    """It is shown once, then the value is there again."""
    session = stored({"notice": "once"}, notice="always")
    assert session["notice"] == "once"
    assert later(session)["notice"] == "always"


def test_a_flash_that_is_left_again_is_another() -> None:
    """Reading the old one leaves the new one, also if they are equal."""
    session = stored({"notice": "same"})
    session.flash("notice", "same")
    assert session["notice"] == "same"
    assert later(session)["notice"] == "same"


def test_a_flash_can_be_popped_and_unset() -> None:
    """Both take it away."""
    popped, unset = stored({"notice": "Saved."}), stored({"notice": "Saved."})
    assert popped.pop("notice") == "Saved."
    unset.unset("notice")
    for session in (popped, unset):
        assert "notice" not in session
        assert "notice" not in later(session)


def test_a_damaged_value_counts_as_absent(caplog: pytest.LogCaptureFixture) -> None:
    """A handler sees a missing key, not an error of a decoder."""
    session = showing(Draft(Contents(values={"a": Encoded(b"\xc1")})))
    assert session.get("a", "default") == "default"
    assert "damaged" in caplog.text


def test_clear_takes_everything() -> None:
    """Values and flashes, seen and unseen."""
    session = stored({"notice": "Saved."}, a=1)
    session.clear()
    assert (dict(session), session.get("notice"), session.modified) == ({}, None, True)


def test_clearing_nothing_is_no_change() -> None:
    """A visitor without a session stays without one."""
    session = Session()
    session.clear()
    assert not session.modified


def REGENERATE(session: Session) -> None:  # noqa: N802 - it is one of the changes below
    session.regenerate_id()


WRITES: list[Callable[[Session], Any]] = [
    lambda s: s.set("a", 1),
    lambda s: s.unset("a"),
    lambda s: s.flash("a", 1),
    lambda s: s.apply("a", str),
    lambda s: s.clear(),
    REGENERATE,
    lambda s: s.__setitem__("a", 1),
    lambda s: s.__delitem__("a"),
    lambda s: s.setdefault("b", 1),
    lambda s: s.update(a=1),
]


@pytest.mark.parametrize("write", WRITES)
def test_after_destroy_a_write_raises(write: Callable[[Session], Any]) -> None:
    """Every kind of it; and a read finds nothing."""
    session = stored({"notice": "Saved."}, a=1)
    session.destroy()
    session.destroy()
    with pytest.raises(SessionDestroyed):
        write(session)
    assert (session.get("a"), session.get("notice"), dict(session)) == (None, None, {})
    assert session.destroyed
    assert session.modified


CHANGES: list[Callable[[Session], Any]] = [
    *WRITES,
    lambda s: s.get("notice"),
    lambda s: s.destroy(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_reaches_nothing_raises(change: Callable[[Session], Any]) -> None:
    """At the line that made it, once the headers have left."""
    session = stored({"notice": "Saved."}, a=0)
    session._draft.reach = "nothing"
    with pytest.raises(ResponseStarted):
        change(session)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_reaches_the_record_is_made(change: Callable[[Session], Any]) -> None:
    """All but a new id, which the client would never learn of."""
    session = stored({"notice": "Saved."}, a=0)
    session._draft.reach = "record"
    if change is REGENERATE:
        with pytest.raises(ResponseStarted, match="regenerate_id"):
            change(session)
    else:
        change(session)
        assert session.modified


def test_a_late_change_in_place_is_loud() -> None:
    """It is found at the end of the request, and not lost in silence."""
    session = stored(cart=[1])
    cart = session["cart"]
    session._draft.reach = "nothing"
    cart.append(2)
    with pytest.raises(ResponseStarted):
        session._draft.note_changes_in_place()


def test_a_new_id_is_another() -> None:
    """The one that the client holds stays known until the save."""
    session = Session({"a": 1}, id="id")
    session.regenerate_id()
    assert session.issued_id == "id"
    assert session.id not in ("id", None)
    assert session.id == session.id
    assert session.modified
    assert session["a"] == 1


def test_an_id_is_made_when_asked_for() -> None:
    """240 random bits as 40 characters; nobody's session is kept because of it."""
    session = Session()
    assert len(session.id) == 40
    assert session.id == session.id
    assert session.is_new
    assert not session.modified
    assert Session().id != session.id


def test_a_new_session_has_no_times() -> None:
    """They begin with the first save."""
    session = Session()
    assert (session.created_at, session.expires_at) == (None, None)


def test_a_storage_of_ones_own_makes_sessions_from_data() -> None:
    """What it gives is there, under the id that it gives, and is no change."""
    session = Session({"a": [1]}, id="abc")
    assert (session["a"], session.id, session.issued_id, session.is_new) == (
        [1],
        "abc",
        "abc",
        False,
    )
    assert not session.modified
    assert Session({"a": 1}).is_new
    with pytest.raises(UnstorableValue):
        Session({"a": object()})


def test_a_session_nobody_writes_to_has_no_draft() -> None:
    """Looking at an empty session makes none, and is noted."""
    session = Session()
    assert not session._accessed
    assert (session.get("a", 1), "a" in session, len(session), list(session)) == (1, False, 0, [])
    assert session._accessed
    assert session._draft.shared
    session["a"] = 1
    assert not session._draft.shared
    assert "a" not in Session()


def test_an_unknown_attribute_is_an_error() -> None:
    """A misspelled method says so."""
    with pytest.raises(AttributeError, match="regenerate"):
        Session().regenerate  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("session", "state"), [(Session(), "new"), (Session({"a": "hunter2"}, id="id9"), "stored")]
)
def test_a_repr_shows_no_data(session: Session, state: str) -> None:
    """What kind of session it is, and no more."""
    assert repr(session) == f"<Session {state}>"
    session.destroy()
    assert repr(session) == "<Session destroyed>"


def test_the_last_key_is_popped_first() -> None:
    """As with a dict; an empty session has none."""
    session = stored(a=1, b=2)
    assert list(reversed(session)) == ["b", "a"]
    assert session.popitem() == ("b", 2)
    assert session.popitem() == ("a", 1)
    with pytest.raises(KeyError):
        session.popitem()


def test_popitem_takes_the_value_and_leaves_the_flash_of_its_key() -> None:
    """Neither an earlier flash, nor one that this request leaves, is read or lost by it."""
    session = stored({"a": "left before"}, a=1)
    session.flash("b", "left now")
    session["b"] = [2]
    assert [session.popitem(), session.popitem()] == [("b", [2]), ("a", 1)]
    session = later(session)
    assert (len(session), session.get("a"), session.get("b")) == (0, "left before", "left now")


def test_a_copy_is_a_dict() -> None:
    """Changing it changes no session."""
    session = stored(a=1)
    copy = session.copy()
    copy["a"] = 2
    assert type(copy) is dict
    assert session["a"] == 1


def test_sessions_and_dicts_are_united() -> None:
    """`|` makes a dict, `|=` updates the session; of a key in both, the right one counts."""
    session = stored(a=1, b=1)
    assert session | {"b": 2} == {"a": 1, "b": 2}
    assert {"b": 2, "c": 2} | session == {"a": 1, "b": 1, "c": 2}
    session |= {"b": 3}
    session |= [("c", 4)]
    assert dict(session) == {"a": 1, "b": 3, "c": 4}
    number: Any = 1
    with pytest.raises(TypeError):
        session | number
    with pytest.raises(TypeError):
        number | session


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, Session.copy])
def test_a_copy_of_a_session_is_a_dict(copied: Callable[[Session], Any]) -> None:
    """There is one session for a request; only a deep copy has lists of its own."""
    session = Session({"cart": ["tea"]}, id="x")
    made = copied(session)
    assert type(made) is dict
    assert made == {"cart": ["tea"]}
    made["more"] = 1
    assert "more" not in session
    assert (made["cart"] is session["cart"]) is (copied is not copy.deepcopy)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_session_cannot_be_pickled(protocol: int) -> None:
    """It holds an id and values; the message says what can be, and holds neither."""
    for held in (Session({"a": "hunter2"}, id="id9"), {"session": Session()}):
        with pytest.raises(TypeError, match=r"dict\(session\)") as refused:
            pickle.dumps(held, protocol)
        assert "hunter2" not in str(refused.value)


def test_a_stored_session_has_times() -> None:
    """In UTC: when it was first saved, and when it dies if nobody uses it."""
    clock = Clock(1_800_000_000.0)
    storage = MemoryStorage(clock=clock)
    session = Session()
    session["a"] = 1
    session = storage.read(storage.save(session))
    assert session.created_at == datetime.fromtimestamp(1_800_000_000, UTC)
    assert session.expires_at == session.created_at + timedelta(days=14)


def test_a_model_is_reached_through_the_session() -> None:
    """Without one, reading and writing say how to give it."""
    session = showing(TypedDraft.under(stored(visits=1)._draft, Schema(Plain)))
    assert session.data.visits == 1
    session.data.visits = 2
    assert session["visits"] == 2
    for access in (lambda: Session().data, lambda: setattr(Session(), "data", 1)):
        with pytest.raises(ConfigurationError, match="data=Model"):
            access()


# Who is signed in


def test_a_sign_in_is_seen_in_the_same_request_and_the_next() -> None:
    """With another id; a visitor's values stay."""
    session = stored(cart=[1])
    assert session.signed_in is None
    session.sign_in(42, label="Firefox")
    assert session.signed_in
    after = later(session)
    assert after.signed_in
    assert (after.signed_in.user, after.signed_in.label) == ("42", "Firefox")
    assert after.signed_in.handle == session.signed_in.handle
    assert after["cart"] == [1]


def test_a_sign_in_may_keep_nothing_or_some() -> None:
    """`keep=False` takes everything away; named keys of another user's session stay."""
    session = stored(cart=[1])
    session["mine"] = 1
    session.sign_in("ada", keep=False)
    assert dict(later(session)) == {}
    session = stored(cart=[1], theme="dark")
    session.sign_in("ada")
    session = later(session)
    session["mine"] = 1
    session.sign_in("bob", keep=["theme"])
    assert dict(later(session)) == {"theme": "dark", "mine": 1}


def test_a_confirmation_changes_the_id_and_nothing_else() -> None:
    """The password was asked again."""
    session = stored(cart=[1])
    session.sign_in("ada")
    session = later(session)
    before = session.issued_id
    session.confirm()
    assert session.modified
    after = later(session)
    assert after.signed_in
    assert after.signed_in.user == "ada"
    assert dict(after) == {"cart": [1]}
    assert after.issued_id != before


def test_support_staff_act_as_a_user_and_stop() -> None:
    """While they do, a confirmation would mean the wrong person."""
    session = stored(theirs=1)
    session.sign_in("support")
    session = later(session)
    session.act_as("ada", seconds=60)
    session = later(session)
    assert session.signed_in
    assert (session.signed_in.user, session.signed_in.actor) == ("ada", "support")
    assert "theirs" not in session
    with pytest.raises(ConfigurationError, match="stop acting"):
        session.confirm()
    session["adas"] = 1
    session = later(session) if session.modified else session
    session.stop_acting()
    assert session.signed_in
    assert (session.signed_in.user, session.signed_in.actor) == ("support", None)
    assert "adas" not in session


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda session: session.confirm(), r"confirm\(\) needs a signed-in user"),
        (lambda session: session.act_as("ada"), r"act_as\(\) needs a signed-in user"),
        (lambda session: session.stop_acting(), r"stop_acting\(\) needs a signed-in user"),
    ],
)
def test_what_needs_a_user_says_so(change: Callable[[Session], Any], says: str) -> None:
    """The message names the call, and what to do before."""
    with pytest.raises(ConfigurationError, match=says):
        change(stored(a=1))


def test_to_stop_acting_somebody_has_to_act() -> None:
    """A user who signed in themselves does not."""
    session = Session()
    session.sign_in("ada")
    with pytest.raises(ConfigurationError, match="needs a user who acts"):
        session.stop_acting()


def test_a_sign_out_destroys_the_session() -> None:
    """It is the same by another name."""
    session = stored(a=1)
    session.sign_out()
    assert session.destroyed
    assert later(session).is_new
