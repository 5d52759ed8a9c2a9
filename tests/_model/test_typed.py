"""Typed sessions: every kind of model, over both front ends, in the cookie and on a server."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import (
    ConfigurationError,
    Context,
    ResponseStarted,
    Session,
    SessionDestroyed,
    UnstorableValue,
)
from coatcheck.storage import CookieStorage, KeyedStorage, MemoryStorage
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests._model.models import (
    KINDS,
    MODEL,
    Checked,
    Keys,
    Plain,
    at,
    filled,
    put,
    puts,
    stored,
    then,
    versioned,
    warned,
)
from tests.applications import answers, fill, look, run
from tests.hosts import Front, Handler, Wsgi, scope_of


def test_a_change_is_kept_under_the_fields_name(front: Front, kind: type[Any]) -> None:
    """`session.data.user` and `session["user"]` are the same value."""
    browser = front.browser(data=kind)
    browser.ask(puts(user="ada", visits=1))
    assert stored(front, browser) == {"user": "ada", "visits": 1}
    assert browser.ask(lambda session: at(session.data, "user")).json == "ada"
    assert browser.ask(lambda session: session["visits"]).json == 1


def test_a_change_inside_a_field_is_kept(front: Front, kind: type[Any]) -> None:
    """`session.data.cart.append(7)` needs no flag."""
    browser = front.browser(data=kind)
    browser.ask(lambda session: at(session.data, "cart").append(7))
    browser.ask(lambda session: at(session.data, "cart").append(8))
    assert stored(front, browser) == {"cart": [7, 8]}


def test_visitors_who_only_look_cost_nothing(front: Front, kind: type[Any]) -> None:
    """Reading makes no session, no cookie and no change; defaults are not stored."""
    browser = front.browser(data=kind)
    assert browser.ask(lambda session: [session.data and 1, session.modified][1]).json is False
    assert browser.header is None
    filled(front, browser, visits=3)
    answer = browser.ask(lambda session: at(session.data, "visits"))
    assert answer.json == 3 and not answer.all("set-cookie")


@pytest.mark.parametrize("value", ["many", -1, [1]])
def test_what_does_not_fit_is_refused_at_the_save(
    front: Front, kind: type[Any], value: object
) -> None:
    """The error names the field and not the value, and nothing of the request is kept."""
    browser = filled(front, front.browser(data=kind), visits=1)
    with pytest.raises(UnstorableValue, match=f"'visits'.*{kind.__name__}") as raised:
        browser.ask(puts(user="ada", visits=value))
    assert raised.value.key == "visits" and "many" not in str(raised.value)
    assert stored(front, browser) == {"visits": 1}


def test_what_does_not_fit_inside_a_field_is_refused_at_the_save(
    front: Front, kind: type[Any]
) -> None:
    """What was appended is checked, too."""
    browser = front.browser(data=kind)
    with pytest.raises(UnstorableValue, match="'cart'"):
        browser.ask(lambda session: at(session.data, "cart").append("seven"))
    assert browser.header is None


def test_what_is_put_under_a_fields_key_is_checked_at_once(front: Front, kind: type[Any]) -> None:
    """`session["visits"] = "many"` raises at its line, and leaves what was there."""
    browser = filled(front, front.browser(data=kind), visits=1)

    def handler(session: Session) -> list[Any]:
        with pytest.raises(UnstorableValue, match="'visits'"):
            session["visits"] = "many"
        with pytest.raises(UnstorableValue, match="'visits'"):
            session.apply("visits", lambda visits: [visits])
        return [session["visits"], at(session.data, "visits"), session.modified]

    assert browser.ask(handler).json == [1, 1, False]


def test_what_changes_inside_a_value_under_a_fields_key_is_checked_at_the_save(
    front: Front, kind: type[Any]
) -> None:
    """`session["cart"].append("seven")` is refused as `session.data.cart.append("seven")` is."""
    browser = filled(front, front.browser(data=kind), cart=[1])
    with pytest.raises(UnstorableValue, match="'cart'"):
        browser.ask(lambda session: session["cart"].append("seven"))
    assert stored(front, browser) == {"cart": [1]}


def test_keys_and_fields_follow_each_other(shop: Front, kind: type[Any]) -> None:
    """What is changed through one is seen through the other, in the same request."""
    browser = filled(shop, shop.browser(data=kind), cart=[1])

    def handler(session: Session) -> list[Any]:
        data = session.data
        at(data, "cart").append(2)
        session["cart"].append(3)
        at(session.data, "cart").append(4)
        session["user"] = "ada"
        put(data, visits=1)
        session.apply("visits", lambda visits: visits + 1)
        return [session["cart"], at(data, "user"), at(data, "visits"), "visits" in session]

    assert browser.ask(handler).json == [[1, 2, 3, 4], "ada", 2, True]
    assert stored(shop, browser) == {"cart": [1, 2, 3, 4], "user": "ada", "visits": 2}


def test_a_key_that_is_deleted_is_at_its_default(shop: Front, kind: type[Any]) -> None:
    """`del session["user"]` is seen by `session.data`, and is not undone by it."""
    browser = filled(shop, shop.browser(data=kind), user="ada", visits=1)

    def handler(session: Session) -> Any:
        data = session.data
        del session["user"]
        return at(data, "user")

    assert browser.ask(handler).json is None
    assert stored(shop, browser) == {"visits": 1}


def test_what_comes_later_wins(shop: Front, kind: type[Any]) -> None:
    """Also when it is what was stored before."""
    browser = filled(shop, shop.browser(data=kind), user="ada")

    def handler(session: Session) -> Any:
        put(session.data, user="bob")
        session["user"] = "ada"
        return at(session.data, "user")

    assert browser.ask(handler).json == "ada"
    assert stored(shop, browser) == {"user": "ada"}


def test_other_keys_stay_as_they_are(front: Front, kind: type[Any]) -> None:
    """What packages keep under keys of their own is none of the model's business."""
    browser = filled(front, front.browser(data=kind), _user_id="7", visits=1)
    browser.ask(then(puts(visits=2), lambda session: session.set("csrf", "x")))
    assert stored(front, browser) == {"_user_id": "7", "visits": 2, "csrf": "x"}


def test_another_object_may_take_the_place(shop: Front, kind: type[Any]) -> None:
    """`session.data = Visit(...)` writes the fields that differ."""
    browser = filled(shop, shop.browser(data=kind), user="ada", visits=1)

    def handler(session: Session) -> None:
        session.data = kind(user="bob", visits=1)

    browser.ask(handler)
    assert stored(shop, browser) == {"user": "bob", "visits": 1}


def test_another_object_that_does_not_fit_is_refused_at_its_line(shop: Front) -> None:
    """The one that was there stays."""
    browser = filled(shop, shop.browser(data=Plain), visits=1)

    def handler(session: Session) -> Any:
        with pytest.raises(UnstorableValue, match="'visits'"):
            session.data = Plain(visits=-1)
        return session.data.visits

    assert browser.ask(handler).json == 1


def test_a_record_that_does_not_fit_is_no_error(
    front: Front, kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The field that does not fit is at its default; the rest stays; one line says so."""
    browser = filled(front, front.browser(data=kind), cart="secret", user="ada")
    answer = browser.ask(lambda session: [at(session.data, "cart"), at(session.data, "user")])
    assert answer.json == [[], "ada"]
    text = warned(caplog)
    assert "cart" in text and kind.__name__ in text
    assert "secret" not in text and "user" not in text


def test_what_does_not_fit_stays_stored_until_its_field_changes(
    shop: Front, kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Another field's change leaves it alone; its own replaces it."""
    browser = filled(shop, shop.browser(data=kind), visits="many")
    browser.ask(puts(user="ada"))
    warned(caplog)
    assert stored(shop, browser) == {"visits": "many", "user": "ada"}
    browser.ask(puts(visits=5))
    warned(caplog)
    assert stored(shop, browser) == {"visits": 5, "user": "ada"}


def test_two_requests_that_change_two_fields_are_both_kept(shop: Front, kind: type[Any]) -> None:
    """Fields are keys, so a race merges them."""
    first, second = shop.browser(data=kind), shop.browser(data=kind)
    second.header = filled(shop, first, cart=[1]).header

    def handler(session: Session) -> None:
        put(session.data, user="ada")
        second.ask(lambda other: put(other.data, visits=9))

    first.ask(handler)
    assert stored(shop, first) == {"cart": [1], "user": "ada", "visits": 9}


def test_a_flash_and_a_new_id_beside_the_data(front: Front, kind: type[Any]) -> None:
    """Everything else of a session works as ever."""
    browser = front.browser(data=kind)

    def sign_in(session: Session) -> None:
        put(session.data, user="ada")
        session.flash("notice", "Welcome.")
        session.regenerate_id()

    browser.ask(sign_in)
    seen = browser.ask(lambda session: [session.get("notice"), at(session.data, "user")])
    assert seen.json == ["Welcome.", "ada"]
    assert browser.ask(lambda session: session.get("notice")).json is None


def test_a_destroyed_session_has_no_data(front: Front, kind: type[Any]) -> None:
    """After destroy() the fields are at their defaults, and a change raises."""
    browser = filled(front, front.browser(data=kind), user="ada")

    def sign_out(session: Session) -> Any:
        put(session.data, visits=9)
        session.destroy()
        return at(session.data, "user")

    assert browser.ask(sign_out).json is None
    assert browser.header is None

    filled(front, browser, user="ada")
    with pytest.raises(SessionDestroyed):
        browser.ask(then(Session.destroy, puts(user="bob")))


def test_a_cleared_session_is_removed(front: Front, kind: type[Any]) -> None:
    """clear() takes back what the data's fields held, also what was changed before it."""
    browser = filled(front, front.browser(data=versioned(kind)), cart="1")
    browser.ask(then(puts(visits=9), Session.clear))
    assert browser.header is None
    browser.ask(then(puts(visits=9), Session.clear))
    assert browser.header is None
    browser.ask(then(Session.clear, puts(visits=9)))
    assert stored(front, browser) == {"visits": 9, "_schema": 2}
    browser.ask(then(Session.clear, puts(visits=8)))
    assert stored(front, browser) == {"visits": 8, "_schema": 2}


def test_after_clear_the_fields_are_at_their_defaults(shop: Front, kind: type[Any]) -> None:
    """An object from before it is out of use."""
    browser = filled(shop, shop.browser(data=kind), user="ada", visits=1)

    def handler(session: Session) -> Any:
        put(session.data, user="bob")
        session.clear()
        put(session.data, visits=2)
        return at(session.data, "user")

    assert browser.ask(handler).json is None
    assert stored(shop, browser) == {"visits": 2}


def test_a_change_after_the_headers_is_saved_on_a_server_and_loud_in_a_cookie() -> None:
    """As any other change in place."""

    def change(session: Session) -> None:
        put(session.data, visits=9)

    late = answers(lambda session: session.data, change)
    storage = MemoryStorage()
    header = fill(storage, visits=1)
    run(late, scope_of(header), storage, data=Plain)
    assert look(storage, header)["visits"] == 9
    in_cookie = CookieStorage()
    with pytest.raises(ResponseStarted):
        run(late, scope_of(fill(in_cookie, visits=1)), in_cookie, data=Plain)


def test_a_change_after_a_change_that_was_saved_is_no_less_seen() -> None:
    """The object is the same before and after the headers, and is looked at again."""
    late = answers(puts(visits=8), lambda session: put(session.data, visits=9))
    storage = MemoryStorage()
    header = fill(storage, visits=1)
    run(late, scope_of(header), storage, data=Plain)
    assert look(storage, header)["visits"] == 9
    in_cookie = CookieStorage()
    with pytest.raises(ResponseStarted):
        run(late, scope_of(fill(in_cookie, visits=1)), in_cookie, data=Plain)


def two_tabs(
    shop: Front, kind: type[Any], stored_before: dict[str, Any], *, fast: Handler, slow: Handler
) -> dict[str, Any]:
    """Let two requests read one session and save the fast one first; return what is kept."""
    first, second = shop.browser(data=kind), shop.browser(data=kind)
    second.header = filled(shop, first, other=0, **stored_before).header
    first.ask(then(slow, lambda _: second.ask(fast) and None))
    kept = stored(shop, first)
    del kept["other"]
    return kept


def adds(number: int) -> Handler:
    return lambda session: at(session.data, "cart").append(number)


@pytest.mark.parametrize("before", [{}, {"cart": []}, {"cart": [1]}], ids=str)
def test_two_tabs_that_append_to_a_field_keep_both_entries(
    shop: Front, kind: type[Any], before: dict[str, Any]
) -> None:
    """Also to one that stands at its default, and is not stored yet."""
    kept = two_tabs(shop, kind, before, fast=adds(2), slow=adds(3))
    assert kept == {"cart": [*before.get("cart", []), 2, 3]}


def test_a_look_at_a_field_takes_nothing_away(shop: Front, kind: type[Any]) -> None:
    """A TypedDict is given an empty list to look at: what another request added stays."""
    kept = two_tabs(
        shop,
        kind,
        {},
        fast=adds(2),
        slow=then(lambda session: at(session.data, "cart"), puts(user="ada")),
    )
    assert kept == {"cart": [2], "user": "ada"}


@pytest.mark.parametrize("before", [{}, {"seen": {"a": 1}}], ids=str)
def test_two_tabs_that_add_keys_to_a_field_keep_both(
    shop: Front, kind: type[Any], before: dict[str, Any]
) -> None:
    """Of one key the later value counts."""
    kept = two_tabs(
        shop,
        kind,
        before,
        fast=lambda session: at(session.data, "seen").update(b=1, both=1),
        slow=lambda session: at(session.data, "seen").update(c=1, both=2),
    )
    assert kept == {"seen": {**before.get("seen", {}), "b": 1, "c": 1, "both": 2}}


def test_an_append_to_a_field_meets_an_append_under_its_key(shop: Front, kind: type[Any]) -> None:
    """Both ways to the value are one; what both added counts once."""

    def fast(session: Session) -> None:
        session.setdefault("cart", []).append(2)

    assert two_tabs(shop, kind, {}, fast=fast, slow=adds(3)) == {"cart": [2, 3]}
    assert two_tabs(shop, kind, {}, fast=adds(3), slow=fast) == {"cart": [3, 2]}
    assert two_tabs(shop, kind, {"cart": [1]}, fast=adds(2), slow=fast) == {"cart": [1, 2]}


def test_a_fragment_of_a_removed_field_does_not_come_back(
    shop: Front, kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """An append is dropped, with a warning, if another request removed the key."""
    kept = two_tabs(shop, kind, {"cart": [1]}, fast=lambda s: s.unset("cart"), slow=adds(2))
    assert kept == {}
    assert "a change inside a value" in warned(caplog)


def test_a_field_that_is_given_another_value_is_set(shop: Front, kind: type[Any]) -> None:
    """Also a list that shrank: the later request wins."""
    kept = two_tabs(shop, kind, {"cart": [1, 2]}, fast=adds(3), slow=puts(cart=[2]))
    assert kept == {"cart": [2]}
    kept = two_tabs(shop, kind, {"cart": [1]}, fast=lambda s: s.unset("cart"), slow=puts(cart=[9]))
    assert kept == {"cart": [9]}


def test_a_request_that_fails_keeps_nothing_of_its_data() -> None:
    """Nor is it an error that its change cannot be saved any more."""
    storage = MemoryStorage()
    header = fill(storage, visits=1)

    async def fails(scope: Any, _: Any, send: Any) -> None:
        scope["session"].data.visits = 9
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    run(fails, scope_of(header), storage, data=Plain)
    assert look(storage, header)["visits"] == 1


def test_the_context_knows_a_session_by_its_model() -> None:
    """`Session[Visit]` is a type for checkers; it leads to the session of the request."""
    context = Context({"session": (found := Session())})
    assert context.get(Session[Plain]) is found
    assert context.has(Session[Plain])
    with pytest.raises(ConfigurationError, match="no Session"):
        Context({}).get(Session[Plain])


def test_without_a_model_there_is_no_data() -> None:
    """The error says how to give one."""
    with pytest.raises(ConfigurationError, match="data=Model"):
        repr(Session().data)
    with pytest.raises(ConfigurationError, match="data=Model"):
        Session().data = Plain()


def test_a_record_that_was_read_serves_other_requests_unchanged() -> None:
    """An upgrade works on contents of its own: storages may keep what they read."""
    storage = CookieStorage()
    header = fill(storage, cart="1")
    app = answers(lambda session: session.data)
    run(app, scope_of(header), storage, data=versioned(Plain))
    assert look(storage, header)["cart"] == "1"


values = st.fixed_dictionaries(
    {},
    optional={
        "cart": st.lists(st.integers(-(2**63), 2**64 - 1), max_size=5),
        "user": st.none() | st.text(max_size=20),
        "visits": st.integers(0, 2**64 - 1),
    },
)


@given(steps=st.lists(values, min_size=1, max_size=4), number=st.integers(0, 3))
def test_what_is_put_is_what_comes_back(steps: list[dict[str, Any]], number: int) -> None:
    """Whatever fits a field survives, request after request, in every kind of model."""
    kind, front = KINDS[number], Wsgi(KeyedStorage(MemoryBackend(max_records=9, clock=Clock())))
    browser = front.browser(data=kind)
    expected: dict[str, Any] = {"cart": [], "user": None, "visits": 0}
    for step in steps:
        browser.ask(puts(**step))
        expected |= step
        seen = browser.ask(lambda session: [at(session.data, name) for name in MODEL]).json
        assert [each or 0 for each in seen] == [expected[name] or 0 for name in MODEL]


def test_a_key_that_leaves_the_object_leaves_the_session(shop: Front) -> None:
    """A TypedDict's keys may go; what was handed out under the key is watched no more."""
    browser = filled(shop, shop.browser(data=Keys), cart=[1], visits=1)

    def handler(session: Session) -> None:
        cart = session["cart"]
        del session.data["cart"]
        cart.append(2)

    browser.ask(handler)
    assert stored(shop, browser) == {"visits": 1}


@dataclass(frozen=True)
class Frozen:
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_a_frozen_object_gives_way_to_a_newer_one(shop: Front) -> None:
    """What cannot change in place is made anew when a key changes."""
    browser = shop.browser(data=Frozen)

    def handler(session: Session) -> Any:
        before = session.data
        session["low"] = 5
        return [before.low, session.data.low]

    assert browser.ask(handler).json == [0, 5]


@dataclass
class Range:
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_fields_that_do_not_fit_together_are_refused_at_the_save(shop: Front) -> None:
    """Each fits, and the model refuses them together: nothing is kept."""
    browser = filled(shop, shop.browser(data=Range), low=1)
    with pytest.raises(UnstorableValue, match="do not fit together"):
        browser.ask(puts(low=77))
    assert stored(shop, browser) == {"low": 1}


def test_what_pydantic_turns_into_what_is_stored_is_no_change(shop: Front) -> None:
    """What is kept is what came out of the validation."""
    browser = filled(shop, shop.browser(data=Checked), visits=1)

    def same(session: Session) -> bool:
        put(session.data, visits="1")
        return session.modified

    assert browser.ask(same).json is False
    browser.ask(puts(visits="2"))
    assert stored(shop, browser) == {"visits": 2}


def test_a_version_that_stands_alone_is_taken_away(shop: Front) -> None:
    """A session that holds nothing else is left empty, and so is removed."""
    browser = filled(shop, shop.browser(data=versioned(Plain)), cart="1")
    browser.ask(puts(visits=1))
    assert stored(shop, browser) == {"cart": [1], "visits": 1, "_schema": 2}
    browser.ask(then(lambda session: session.unset("cart"), lambda s: s.unset("visits")))
    assert browser.header is None
