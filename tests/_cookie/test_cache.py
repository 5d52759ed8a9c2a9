"""What is remembered of cookies: only what passed, so many, and never past its deadline."""

import gc
from collections.abc import Callable

import pytest

from coatcheck import Cookie, Session
from coatcheck._cookie.cache import Cache
from coatcheck.storage import CookieStorage
from coatcheck.testing import Clock
from tests.hosts import SECRET


def holding(cookie: Cookie, value: str) -> str:
    return cookie.serialize(value).partition(";")[0]


def test_there_are_never_more_than_so_many_characters() -> None:
    """When there is no more room, all are forgotten."""
    memory: Cache[int] = Cache(room=100)
    for number in range(100, 400):
        assert memory.keep(str(number) * (number % 7 + 1), number) == number
        assert sum(map(len, memory)) <= 100
        assert number in memory.values()


def test_a_cookie_that_two_threads_opened_takes_room_only_until_the_next_time() -> None:
    """What is counted twice is forgotten with the rest."""
    memory: Cache[int] = Cache(room=100)
    for _ in range(3):
        memory.keep("a" * 50, 1)
    memory.keep("b" * 50, 2)
    assert set(memory.values()) == {1, 2}


def test_it_shows_nothing_of_what_it_holds() -> None:
    """A repr may end up in a log."""
    memory: Cache[str] = Cache(room=100)
    memory.keep("text", "answer")
    assert repr(memory) == "<Cache of 1>"


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_cookie_that_comes_back_opens_as_it_did(*, encrypt: bool) -> None:
    """The second time is the first time, with less work."""
    cookie = Cookie("name", secrets=[SECRET], encrypt=encrypt)
    header = holding(cookie, "value")
    first = cookie.open(header)
    assert first is not None
    assert cookie.open(header) is first


@pytest.mark.parametrize("encrypt", [False, True])
def test_what_did_not_pass_is_not_remembered(*, encrypt: bool) -> None:
    """What a client invents takes no room, and is refused again."""
    cookie = Cookie("name", secrets=[SECRET], encrypt=encrypt)
    header = holding(cookie, "value")
    bad = f"{header[:-1]}{'A' if header[-1] != 'A' else 'Q'}"
    assert cookie.parse(header) == "value"
    for _ in range(2):
        assert cookie.open(bad) is None
    assert len(cookie._known) == 1


def test_what_the_application_decodes_itself_is_decoded_each_time() -> None:
    """Only it knows what its function depends on."""
    answers = iter(["one", "two"])
    cookie = Cookie("name", secrets=[SECRET], encode=str, decode=lambda _: next(answers))
    header = holding(cookie, "value")
    assert [cookie.parse(header), cookie.parse(header)] == ["one", "two"]


def saved(storage: CookieStorage, session: Session) -> str:
    value = storage.save(session)
    assert value
    return value


def test_a_remembered_session_still_ends_at_its_deadline(clock: Clock) -> None:
    """The clock is asked on every read."""
    storage = CookieStorage(clock=clock)
    session = storage.read(None)
    session["user"] = 1
    value = saved(storage, session)
    assert storage.read(value)["user"] == 1
    assert storage.read(value)["user"] == 1
    clock.advance(14 * 24 * 3600)
    assert "user" not in storage.read(value)


def test_requests_that_share_a_record_change_it_for_themselves_alone(clock: Clock) -> None:
    """What one writes, unsets, clears, flashes or reads once is not seen by the next one."""
    storage = CookieStorage(clock=clock)
    session = storage.read(None)
    session.update(user=1, cart=["coat"])
    session.flash("notice", "Saved.")
    value = saved(storage, session)
    changes: list[Callable[[Session], object]] = [
        lambda s: s.set("user", 2),
        lambda s: s.unset("user"),
        lambda s: s.clear(),
        lambda s: s["cart"].append("hat"),
        lambda s: s.flash("notice", "Other."),
        lambda s: s.get("notice"),
        lambda s: s.unset("notice"),
        lambda s: s.apply("user", lambda n: n + 1),
        lambda s: s.destroy(),
        lambda s: s.regenerate_id(),
    ]
    for change in changes:
        changed = storage.read(value)
        change(changed)
        storage.save(changed)
        found = storage.read(value)
        assert dict(found) == {"user": 1, "cart": ["coat"]}
        assert found.get("notice") == "Saved."


def test_a_session_that_is_done_with_is_freed_at_once(clock: Clock) -> None:
    """What the garbage collector does not look at holds nothing that leads back to itself."""
    storage = CookieStorage(clock=clock)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for number in range(50):
            session = storage.read(None)
            session["n"] = number
            storage.save(session)
        del session
        assert len(gc.get_objects()) - before < 25
    finally:
        gc.enable()
