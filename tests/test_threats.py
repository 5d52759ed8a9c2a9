"""
What a session library is attacked with, end to end, over ASGI and WSGI.

`LINES` maps each known weakness to the tests that would have caught it, here and elsewhere. A name
is that of a test here, or "file::test" with as much of the file's path as tells it from others.
"""

import ast
import logging
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import coatcheck
from coatcheck import BackendError, Cookie, Session, session
from coatcheck._cookie.sealing import Encrypter, Signer
from coatcheck._session.changes import Clear, Consume, Flash, Set, Unset, Update
from coatcheck._session.ids import key_of, new_id
from coatcheck._session.lifecycle import commit
from coatcheck._session.record import Contents, Moved, pack
from coatcheck._session.values import encode
from coatcheck.storage import (
    FileStorage,
    KeyedStorage,
    MemcachedStorage,
    MemoryStorage,
    RedisStorage,
    Refused,
    SessionStorage,
    Stored,
)
from coatcheck.storage.backends.memcached import MemcachedBackend
from coatcheck.storage.backends.memory import MemoryBackend
from coatcheck.testing import Clock
from tests.hosts import COOKIE, SECRET, Answer, Browser, Front, Handler, asgi_app, wsgi_app
from tests.storage_kinds import EVERYWHERE, SERVER_SIDE, Made, front_of, names, storage_of

TESTS = Path(__file__).parent
SOURCE = Path(coatcheck.__file__).parent
MODULES = [*TESTS.rglob("test_*.py"), *SOURCE.rglob("testing/*_contract.py")]

LINES = {
    # Ids and fixation
    "a well-formed id that was never issued is not adopted, not written, not echoed": [
        "test_an_id_that_was_never_issued_is_not_adopted",
    ],
    "strange ids reach no file and no backend": [
        "test_a_strange_id_reaches_no_backend",
        "backends/test_files.py::test_a_key_that_could_leave_the_folder_reaches_no_file",
    ],
    "a new id is claimed, also during regeneration": [
        "test_a_new_id_is_claimed_and_never_overwrites",
        "testing/backend_contract.py::test_a_taken_key_cannot_be_claimed",
    ],
    "every way to sign in gives a new id, and the old one is dead": [
        "test_the_id_from_before_a_sign_in_is_dead",
        "test_examples.py::test_signing_in_changes_the_id",
        "auth/test_schemes.py::test_who_signed_in_is_recognised_by_the_session",
        "demo/test_browser.py::test_signing_in_gives_a_new_cookie_that_no_script_sees",
    ],
    "regenerate, then destroy, in one request: both records are gone": [
        "test_a_new_id_and_the_end_in_one_request_leave_nothing",
    ],
    "ids carry at least 128 random bits": ["test_ids.py::test_an_id_has_256_random_bits"],
    # Races
    "a session that was destroyed meanwhile stays gone": [
        "test_races.py::test_what_is_destroyed_meanwhile_stays_gone",
        "test_races.py::test_what_is_cleared_meanwhile_stays_gone",
        "test_races.py::test_logout_holds_against_writers",
    ],
    "fifty writers lose nothing, fifty steps count fifty": [
        "test_races.py::test_fifty_writers_of_fifty_keys_lose_none",
        "test_races.py::test_fifty_steps_of_one_count_fifty",
        "test_races_processes.py::test_processes_lose_no_update",
        "test_servers_http.py::test_parallel_requests_lose_nothing",
        "test_servers_http.py::test_parallel_requests_to_several_processes_lose_nothing",
    ],
    "a refresh never rolls another request's data back": [
        "test_races.py::test_a_refresh_never_rolls_back_what_others_wrote",
        "test_races.py::test_a_new_deadline_is_put_on_what_was_written_meanwhile",
    ],
    "a request with the old id does not sign the visitor out": [
        "test_races.py::test_a_new_id_signs_nobody_out",
        "test_races.py::test_a_request_that_is_overtaken_by_a_move_changes_nothing",
    ],
    "two flashes at once are both shown, and none twice": [
        "test_races.py::test_two_flashes_at_once_are_both_shown",
        "test_races.py::test_a_flash_that_is_left_meanwhile_is_shown",
    ],
    # Seals
    "a value of one cookie is refused in another": [
        "test_a_value_of_one_cookie_is_refused_in_another",
        "test_cookie.py::test_a_value_of_one_cookie_is_refused_in_another",
        "test_middleware.py::test_a_session_of_another_cookie_is_no_session",
        "test_sealing.py::test_a_seal_for_one_purpose_opens_for_no_other",
    ],
    "the newest secret seals, and nothing unsealed is accepted": [
        "test_nothing_unsealed_is_accepted",
        "test_middleware.py::test_what_an_older_secret_sealed_is_sealed_anew",
        "test_cookie.py::test_with_secrets_nothing_unsealed_is_accepted",
    ],
    "truncated, extended, re-encoded and bit-flipped values are refused without an exception": [
        "test_a_damaged_cookie_is_no_session",
        "test_sealing.py::test_every_changed_character_is_noticed",
        "test_sealing.py::test_every_other_length_is_noticed",
        "test_sealing.py::test_only_one_spelling_of_base64url_counts",
        "test_sealing.py::test_no_text_raises_and_none_opens",
    ],
    "comparison is in constant time, and no input reaches pickle or eval": [
        "test_sealing.py::test_comparison_is_in_constant_time",
        "test_no_input_reaches_pickle_or_eval",
    ],
    # Expiry
    "a copied cookie is refused after the idle and the absolute deadline": [
        "test_a_copied_cookie_dies_when_it_is_not_used",
        "test_a_copied_cookie_dies_at_the_end_of_its_lifetime",
    ],
    "an expired record counts as absent, and nothing moves the absolute deadline": [
        "test_an_expired_record_that_is_still_there_counts_as_absent",
        "test_a_copied_cookie_dies_at_the_end_of_its_lifetime",
    ],
    # At rest and in logs
    "no backend sees an id, files are private and whole": [
        "test_no_backend_sees_an_id",
        "test_no_file_holds_an_id",
        "backends/test_files.py::test_only_the_owner_can_read",
        "backends/test_files.py::test_a_killed_writer_leaves_no_torn_record",
    ],
    "two applications, or two cookies, on one server do not collide": [
        "test_two_applications_on_one_server_do_not_collide",
        "test_middleware.py::test_a_session_of_another_cookie_is_no_session",
        "backends/test_redis.py::test_a_prefix_keeps_applications_apart",
    ],
    "no id, secret or value in logs, reprs, tracebacks, messages": [
        "test_no_repr_reveals_anything",
        "test_no_log_reveals_anything",
        "test_no_traceback_reveals_anything",
    ],
    # Caches
    "Vary: Cookie after every kind of access": [
        "test_every_kind_of_access_makes_the_response_vary",
        "test_who_does_not_touch_the_session_leaves_the_response_alone",
    ],
    "a response with the cookie is never publicly cacheable, other cookies are unchanged": [
        "test_a_response_with_the_cookie_is_kept_by_no_shared_cache",
        "test_headers.py::test_no_shared_cache_keeps_the_response",
        "test_cycle.py::test_a_response_that_sets_the_cookie_is_private",
        "test_cycle.py::test_headers_that_do_not_concern_us_stay",
    ],
    # The cookie parser
    "no attribute can break out of the cookie": [
        "test_cookie.py::test_no_attribute_can_break_out",
    ],
    "a nameless pair never becomes a named one; of several the valid one wins": [
        "test_a_nameless_pair_is_no_session",
        "test_of_several_cookies_the_valid_one_wins",
        "test_headers.py::test_a_nameless_pair_never_becomes_a_named_one",
    ],
    "a header of 1 MB is parsed in linear time, and as RFC 6265 says": [
        "test_a_huge_header_is_no_session",
        "test_headers.py::test_a_long_header_is_read_once",
        "test_headers.py::test_a_cookie_is_found_as_rfc_6265_says",
    ],
    "the removal cookie carries the attributes of the one it removes": [
        "test_a_removal_carries_the_attributes_of_its_cookie",
        "test_cookie.py::test_an_empty_value_makes_a_removal",
    ],
    # Denial of service
    "who only looks, or signs out without a session, costs no record and no server": [
        "test_nobody_costs_nothing",
        "test_roundtrips.py::test_a_request_asks_no_oftener_than_promised",
    ],
    "a corrupt, truncated or huge record is an empty session and a warning": [
        "test_a_damaged_record_is_an_empty_session_and_a_warning",
        "test_record.py::test_a_bomb_is_unreadable",
        "test_record.py::test_every_truncation_is_unreadable",
    ],
    "a form beyond its limits is refused while it streams": [
        "forms/test_limits.py::test_a_form_is_refused_while_it_streams",
        "forms/test_limits.py::test_too_many_of_something_is_400",
        "forms/test_limits.py::test_too_many_bytes_of_something_are_413",
    ],
    # Around it
    "a CSRF token is bound to its session": [
        "test_csrf.py::test_a_token_of_another_session_is_refused",
    ],
    "a forged X-Forwarded-Proto is ignored": [
        "test_no_forwarding_header_is_believed",
        "test_rejections.py::test_a_forged_header_changes_nothing",
    ],
    "after signing in nobody is led to another site": [
        "test_redirects.py::test_what_could_lead_elsewhere_is_replaced",
        "test_examples.py::test_nobody_is_sent_to_another_site",
    ],
    "a store that is down is an error within a timeout, and the cookie stays": [
        "test_a_store_that_is_down_is_an_error_and_the_cookie_stays",
        "test_a_store_that_never_answers_is_an_error_within_its_timeout",
        "backends/test_redis.py::test_a_server_that_is_not_there_is_a_backend_error",
        "backends/test_memcached.py::test_a_node_that_is_not_there_is_a_backend_error",
    ],
}


@pytest.mark.parametrize("line", LINES)
def test_each_line_has_its_tests(line: str) -> None:
    """The tests that the table names exist."""
    for name in LINES[line]:
        file, _, test = name.rpartition("::")
        found = [path for path in MODULES if path.match(file or __file__)]
        assert any(f"def {test}(" in path.read_text() for path in found), name


@pytest.fixture
def front(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Front]:
    """A front end over a storage."""
    name, kind = request.param
    with storage_of(kind, request, clock) as made, front_of(name, made) as front:
        yield front


everywhere = pytest.mark.parametrize("front", EVERYWHERE, ids=names(EVERYWHERE), indirect=True)
server_side = pytest.mark.parametrize("front", SERVER_SIDE, ids=names(SERVER_SIDE), indirect=True)
both = pytest.mark.parametrize("name", ["asgi", "wsgi"])


def sets(**values: Any) -> Handler:
    return lambda session: session.update(values)


def gets(key: str) -> Handler:
    return lambda session: session.get(key)


def flashes(**values: str) -> Handler:
    def leaves(session: Session) -> None:
        for key, value in values.items():
            session.flash(key, value)

    return leaves


def does(*steps: Handler) -> Handler:
    return lambda session: [step(session) for step in steps][-1]


def is_new(session: Session) -> bool:
    return session.is_new


def holding(value: str, cookie: Cookie = COOKIE) -> str:
    """Return a Cookie header with *value*, sealed as ours."""
    return cookie.serialize(value).partition(";")[0]


def signed_in(front: Front, cookie: Cookie = COOKIE, **terms: float) -> Browser:
    browser = front.browser(cookie, **terms)
    browser.ask(sets(user="Ada"))
    return browser


class Spy(MemoryBackend):
    """A backend that notes what it is called with."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(max_records=100, clock=clock)
        self.calls: list[tuple[object, ...]] = []

    def get(self, key: str) -> Stored | None:
        self.calls.append(("get", key))
        return super().get(key)

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        self.calls.append(("swap", key, version, record, ttl))
        return super().swap(key, version, record, ttl)

    def delete(self, key: str) -> None:
        self.calls.append(("delete", key))
        super().delete(key)


@pytest.fixture
def spy(clock: Clock) -> Spy:
    """A backend in memory that notes what it is called with."""
    return Spy(clock)


# Ids and fixation


@server_side
def test_an_id_that_was_never_issued_is_not_adopted(front: Front) -> None:
    """Not even one whose seal holds: a new session gets an id of ours, and theirs stays nothing."""
    forged = new_id()
    browser = front.browser()
    browser.header = holding(forged)
    assert browser.ask(is_new).all("set-cookie") == []
    answer = browser.ask(sets(user="Ada"))
    assert browser.value
    assert browser.value != forged
    assert forged not in answer.all("set-cookie")[0]
    assert front.read(forged).is_new


STRANGE = [
    "a",
    "A" * 42,
    "A" * 44,
    "A" * 3000,
    "../" * 14 + "A",
    "/" + "A" * 42,
    "\\" + "A" * 42,
    "A" * 42 + "\0",
    "A" * 42 + "\n",
    "%2e%2e" + "A" * 37,
    "C:" + "A" * 41,
    "A" * 42 + "é",
    "A" * 42 + "=",
]


@both
@pytest.mark.parametrize("id", STRANGE)
def test_a_strange_id_reaches_no_backend(name: str, spy: Spy, id: str) -> None:
    """What does not look like an id of ours is asked for nowhere."""
    with front_of(name, Made(KeyedStorage(spy))) as front:
        browser = front.browser()
        browser.header = holding(id)
        assert browser.ask(is_new).json is True
    assert spy.calls == []


class Crowded(Spy):
    """A backend where somebody has every key that is claimed first."""

    def swap(self, key: str, version: object, record: bytes, ttl: float) -> Refused | None:
        if version is None and not any(call[0] == "swap" for call in self.calls):
            super().swap(key, None, b"somebody else's", ttl)
        return super().swap(key, version, record, ttl)


@both
@pytest.mark.parametrize("handler", [sets(n=1), Session.regenerate_id])
def test_a_new_id_is_claimed_and_never_overwrites(
    name: str, clock: Clock, handler: Handler
) -> None:
    """A record under the id that was drawn stays as it is, and another id is drawn."""
    backend = Crowded(clock)
    with front_of(name, Made(KeyedStorage(backend, clock=clock))) as front:
        browser = front.browser()
        if handler is Session.regenerate_id:
            backend.calls.append(("swap",))
            browser.ask(sets(n=1))
            backend.calls.clear()
        browser.ask(handler)
        assert front.read(browser.value)["n"] == 1
    taken = next(call[1] for call in backend.calls if call[0] == "swap")
    assert isinstance(taken, str)
    stored = backend.get(taken)
    assert stored
    assert stored.record == b"somebody else's"


@server_side
def test_the_id_from_before_a_sign_in_is_dead(front: Front) -> None:
    """Who planted or copied it has an empty session, and what he writes there is kept nowhere."""
    victim = front.browser()
    victim.ask(sets(cart=["coat"]))
    thief = front.browser()
    thief.header = victim.header
    victim.ask(does(sets(user="Ada"), Session.regenerate_id))
    assert thief.ask(dict).json == {}
    assert thief.ask(sets(user="Eve")).all("set-cookie") == []
    assert victim.ask(dict).json == {"cart": ["coat"], "user": "Ada"}
    assert thief.ask(dict).json == {}


@server_side
def test_a_new_id_and_the_end_in_one_request_leave_nothing(front: Front) -> None:
    """Neither the old id nor the new one leads anywhere."""
    browser = signed_in(front)
    old = browser.value
    seen: list[str] = []

    def leaves(session: Session) -> None:
        session.regenerate_id()
        seen.append(session.id)
        session.destroy()

    assert "Max-Age=0" in browser.ask(leaves).all("set-cookie")[0]
    assert front.read(old).is_new
    assert front.read(seen[0]).is_new


@both
def test_nothing_at_all_is_left_in_the_backend(name: str, spy: Spy, clock: Clock) -> None:
    """After a new id and the end in one request the backend is empty."""
    with front_of(name, Made(KeyedStorage(spy, clock=clock))) as front:
        signed_in(front).ask(does(Session.regenerate_id, Session.destroy))
    assert len(spy) == 0


# Seals


@everywhere
def test_a_value_of_one_cookie_is_refused_in_another(front: Front) -> None:
    """Two cookies of one application, with one secret: the seal covers the name."""
    ours = signed_in(front)
    theirs = front.browser(Cookie("other", secrets=[SECRET]))
    assert ours.header
    theirs.header = "other=" + ours.header.partition("=")[2]
    assert theirs.ask(is_new).json is True


@everywhere
def test_nothing_unsealed_is_accepted(front: Front) -> None:
    """The bare value, an empty seal, the seal of a wrong secret."""
    browser = signed_in(front)
    value = browser.value or ""
    strange = Cookie("__session", secrets=["some other secret, and long enough too"])
    for header in (f"__session={value}", f"__session={value}.", holding(value, strange)):
        browser.header = header
        assert browser.ask(is_new).json is True


DAMAGES: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "truncated": lambda text: text[:-1],
    "halved": lambda text: text[: len(text) // 2],
    "extended": lambda text: text + "A",
    "padded": lambda text: text + "=",
    "flipped at the start": lambda text: chr(ord(text[0]) ^ 1) + text[1:],
    "flipped at the end": lambda text: text[:-1] + chr(ord(text[-1]) ^ 1),
    "other case": str.swapcase,
    "percent-encoded": lambda text: f"%{ord(text[0]):02x}" + text[1:],
    "standard alphabet": lambda text: text.replace("-", "+").replace("_", "/") + "+",
    "binary": lambda text: text + "\xff\x00",
    "twice": lambda text: text + text,
}


@everywhere
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cookie_is_no_session(front: Front, damage: Callable[[str], str]) -> None:
    """It is answered like no cookie at all, and nothing raises."""
    browser = signed_in(front)
    assert browser.header
    name, _, value = browser.header.partition("=")
    browser.header = f"{name}={damage(value)}"
    answer = browser.ask(is_new)
    assert (answer.status, answer.json, answer.all("set-cookie")) == (200, True, [])


def test_no_input_reaches_pickle_or_eval() -> None:
    """The package imports nothing that makes objects of bytes, and evaluates nothing."""
    modules = {"pickle", "marshal", "shelve", "dill", "yaml", "copyreg"}
    calls = {"eval", "exec", "compile"}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not modules & {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in modules
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in calls


# Expiry


@everywhere
def test_a_copied_cookie_dies_when_it_is_not_used(front: Front, clock: Clock) -> None:
    """The deadline stands on the server, or under the seal; the browser is not asked."""
    browser = signed_in(front, idle=60)
    copied = browser.header
    clock.advance(59)
    assert browser.ask(gets("user")).json == "Ada"
    browser = front.browser(idle=60)
    browser.header = copied
    clock.advance(60)
    assert browser.ask(is_new).json is True


@everywhere
def test_a_copied_cookie_dies_at_the_end_of_its_lifetime(front: Front, clock: Clock) -> None:
    """However much it is used, refreshed and regenerated."""
    browser = signed_in(front, idle=60, lifetime=100)
    for handler in (gets("user"), Session.regenerate_id, sets(n=1)):
        clock.advance(33)
        browser.ask(handler)
    assert browser.ask(gets("user")).json == "Ada"
    clock.advance(1)
    assert browser.ask(is_new).json is True


@both
def test_an_expired_record_that_is_still_there_counts_as_absent(name: str, clock: Clock) -> None:
    """The deadline in the record decides; a backend that keeps it longer changes nothing."""
    frozen = Clock(clock.now)
    backend = MemoryBackend(max_records=10, clock=frozen)
    with front_of(name, Made(KeyedStorage(backend, clock=clock))) as front:
        browser = signed_in(front, idle=60)
        clock.advance(60)
        assert browser.ask(is_new).json is True
        assert len(backend) == 1
        assert browser.ask(sets(user="Eve")).all("set-cookie")
        assert len(backend) == 2


# At rest and in logs


@both
def test_no_backend_sees_an_id(name: str, spy: Spy, clock: Clock) -> None:
    """Not in a key, not in a record, in no form that leads back to it."""
    with front_of(name, Made(KeyedStorage(spy, clock=clock))) as front:
        browser = signed_in(front)
        ids = [browser.value or ""]
        browser.ask(Session.regenerate_id)
        ids.append(browser.value or "")
        browser.ask(Session.destroy)
    seen = repr(spy.calls)
    assert len(spy.calls) >= 5
    assert not any(issued in seen for issued in ids)
    assert {call[1] for call in spy.calls} == set(map(key_of, ids))


def test_no_file_holds_an_id(tmp_path: Path) -> None:
    """Neither its name nor its contents."""
    with front_of("wsgi", Made(FileStorage(tmp_path))) as front:
        browser = signed_in(front)
        assert browser.value
        for path in tmp_path.rglob("*"):
            assert browser.value not in str(path)
            assert path.is_dir() or browser.value.encode() not in path.read_bytes()


@both
def test_two_applications_on_one_server_do_not_collide(
    name: str, redis_socket: str, clock: Clock
) -> None:
    """One Redis, one secret, one cookie name: the prefix keeps them apart."""
    with redis.Redis(unix_socket_path=redis_socket) as client:
        first = RedisStorage(client, prefix="first:", clock=clock)
        second = RedisStorage(client, prefix="second:", clock=clock)
        with front_of(name, Made(first)) as one, front_of(name, Made(second)) as other:
            browser, guest = signed_in(one), other.browser()
            guest.header = browser.header
            assert guest.ask(is_new).json is True


VALUE = "swordfish"


def revealing(text: str, id: str | None) -> list[str]:
    """Return what of a session's secrets stands in *text*."""
    return [secret for secret in (SECRET, VALUE, id) if secret and secret in text]


def held_things(clock: Clock) -> Iterator[tuple[str, object]]:
    """Yield an id, and everything that may lie in a variable while it is served."""
    storage = MemoryStorage(clock=clock)
    live = storage.read(None)
    live["word"] = VALUE
    live.flash("notice", VALUE)
    issued = live.id
    plan = commit(live, clock())
    assert plan
    storage.save(live)
    again = storage.read(issued)
    again.set("word", VALUE * 2)
    opened = COOKIE.open(holding(issued))
    stored = storage.backend.get(key_of(issued))
    raw = encode("word", VALUE)
    changes = [Set("k", raw), Flash("k", raw), Consume("k", raw), Unset("k"), Clear()]
    changes.append(Update("k", str, raw))
    sessions = session(COOKIE, storage)
    for thing in (
        *(live, again, live.draft, again.draft, plan, plan.record),
        *(again.keys(), again.draft.log, Contents({"k": raw}), Moved(1.0), raw),
        *(opened, stored, Refused(stored), changes, storage, storage.backend),
        *(COOKIE, Signer([SECRET], purpose="p"), Encrypter([SECRET], purpose="p")),
        *(sessions, sessions(asgi_app), sessions.wsgi(wsgi_app), sessions(asgi_app).cycle),
        *vars(sessions(asgi_app).cycle).values(),
        *(vars(storage), vars(storage.backend)),
    ):
        yield issued, thing


def test_no_repr_reveals_anything(clock: Clock) -> None:
    """What an error reporter shows of local variables holds no id, secret or value."""
    for issued, thing in held_things(clock):
        assert revealing(f"{thing!r} {thing}", issued) == [], type(thing)


@everywhere
def test_no_log_reveals_anything(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    """At any level, whatever happens to the session."""
    caplog.set_level(logging.DEBUG)
    browser = front.browser()
    browser.ask(sets(word=VALUE))
    ids = [browser.value]
    browser.ask(does(flashes(notice=VALUE), Session.regenerate_id))
    ids.append(browser.value)
    left, browser.header = browser.header, holding(ids[0] or "")
    browser.ask(sets(late=VALUE))
    browser.header = left
    browser.ask(Session.destroy)
    assert [revealing(caplog.text, issued) for issued in ids] == [[], []]


def unstorable(session: Session) -> None:
    session["word"] = {VALUE}


def grows(session: Session) -> None:
    session["word"] = VALUE * 200_000


def dies(session: Session) -> None:
    session.destroy()
    session["word"] = VALUE


def raises(session: Session) -> object:
    return session["no " + session["kept"][:2]]


@everywhere
@pytest.mark.parametrize("handler", [unstorable, grows, dies, raises])
def test_no_traceback_reveals_anything(front: Front, handler: Handler) -> None:
    """Neither the message nor the chain of causes."""
    browser = front.browser()
    browser.ask(sets(kept=VALUE))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - of any kind
        browser.ask(handler)
    text = "".join(traceback.format_exception(raised.value))
    assert revealing(text.replace("VALUE", ""), browser.value) == []


# Caches


def finds(session: Session) -> object:
    try:
        return session["user"]
    except KeyError:
        return None


ACCESSES: dict[str, Handler] = {
    "get": lambda s: s.get("user"),
    "[]": finds,
    "in": lambda s: "user" in s,
    "has": lambda s: s.has("user"),
    "len": len,
    "bool": bool,
    "iteration": list,
    "keys": lambda s: list(s.keys()),
    "repr of the keys": lambda s: repr(s.keys()),
    "values": lambda s: list(s.values()),
    "items": lambda s: dict(s.items()),
    "copy": dict,
    "equality": lambda s: s == {"user": "Ada"},
    "repr": repr,
    "id": lambda s: bool(s.id),
    "issued id": lambda s: bool(s.issued_id),
    "is_new": lambda s: s.is_new,
    "modified": lambda s: s.modified,
    "destroyed": lambda s: s.destroyed,
    "created_at": lambda s: str(s.created_at),
    "expires_at": lambda s: str(s.expires_at),
    "pop": lambda s: s.pop("nothing", None),
    "unset": lambda s: s.unset("nothing"),
    "setdefault": lambda s: s.setdefault("user", 2),
    "the same value": lambda s: s.set("user", "Ada"),
    "set": lambda s: s.set("user", 2),
    "flash": lambda s: s.flash("notice", 2),
    "apply": lambda s: s.apply("n", lambda n: n + 1, 0),
    "regenerate_id": lambda s: s.regenerate_id(),
    "clear": lambda s: s.clear(),
    "destroy": lambda s: s.destroy(),
}


@both
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("access", ACCESSES)
def test_every_kind_of_access_makes_the_response_vary(
    name: str, access: str, *, known: bool
) -> None:
    """Whatever a handler asked the session, and whether there is one: the answer depends on it."""
    with front_of(name, Made(MemoryStorage())) as front:
        browser = signed_in(front) if known else front.browser()
        assert browser.ask(ACCESSES[access]).all("vary") == ["Cookie"]


@both
def test_reading_a_flash_makes_the_response_vary(name: str) -> None:
    """Reading one is a change, too."""
    with front_of(name, Made(MemoryStorage())) as front:
        browser = front.browser()
        browser.ask(lambda session: session.flash("notice", "Saved."))
        answer = browser.ask(gets("notice"))
        assert (answer.json, answer.all("vary")) == ("Saved.", ["Cookie"])


@everywhere
def test_who_does_not_touch_the_session_leaves_the_response_alone(front: Front) -> None:
    """No Vary, no Cache-Control: a page that is the same for all may be kept for all."""
    shared = [("Cache-Control", "public, s-maxage=60")]
    for browser in (front.browser(), signed_in(front)):
        answer = browser.ask(lambda _: None, headers=shared)
        assert (answer.all("vary"), answer.all("set-cookie")) == ([], [])
        assert answer.all("cache-control") == ["public, s-maxage=60"]


@everywhere
def test_a_response_with_the_cookie_is_kept_by_no_shared_cache(front: Front) -> None:
    """And the headers of the application arrive: its own cookies, what it varies by."""
    given = [
        ("Cache-Control", "public, s-maxage=60, max-age=5"),
        ("CDN-Cache-Control", "public, max-age=600"),
        ("Set-Cookie", "theme=dark; Path=/"),
        ("Set-Cookie", "lang=en"),
        ("Vary", "Accept"),
    ]
    answer: Answer = front.browser().ask(sets(user="Ada"), headers=given)
    assert answer.all("cache-control") == ["max-age=5, private"]
    assert answer.all("cdn-cache-control") == ["max-age=600, private"]
    assert answer.all("vary") == ["Accept, Cookie"]
    theme, lang, ours = answer.all("set-cookie")
    assert (theme, lang) == ("theme=dark; Path=/", "lang=en")
    assert ours.startswith("__session=")


# The cookie parser


@everywhere
def test_a_nameless_pair_is_no_session(front: Front) -> None:
    """Some browsers send "=name=value" for a cookie without a name, which any subdomain can set."""
    browser = signed_in(front)
    assert browser.header
    for header in (f"={browser.header}", f"; ={browser.header}", f"a={browser.header}"):
        browser.header, kept = header, browser.header
        assert browser.ask(is_new).json is True
        browser.header = kept


@everywhere
def test_of_several_cookies_the_valid_one_wins(front: Front) -> None:
    """A subdomain can plant a cookie of our name; it cannot push ours aside."""
    browser = signed_in(front)
    browser.header = f"__session=planted; __session=; {browser.header}; __session=planted"
    assert browser.ask(gets("user")).json == "Ada"


@both
def test_a_huge_header_is_no_session(name: str) -> None:
    """A megabyte of cookies of our name is read and refused."""
    with front_of(name, Made(MemoryStorage())) as front:
        browser = front.browser()
        for header in ("__session=" + "A" * 1_000_000, "__session=a;" * 90_000, ";" * 1_000_000):
            browser.header = header
            assert browser.ask(is_new).json is True


@both
def test_a_removal_carries_the_attributes_of_its_cookie(name: str) -> None:
    """Or the browser would keep the one it is meant to remove."""
    cookie = Cookie(
        "s", secrets=[SECRET], domain="example.org", path="/shop", samesite="None", partitioned=True
    )
    with front_of(name, Made(MemoryStorage())) as front:
        browser = signed_in(front, cookie)
        (line,) = browser.ask(Session.destroy).all("set-cookie")
    assert line == (
        "s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org; Path=/shop; "
        "Secure; HttpOnly; SameSite=None; Partitioned"
    )


# Denial of service


@both
@pytest.mark.parametrize(
    "handler",
    [
        gets("user"),
        is_new,
        len,
        Session.destroy,
        Session.clear,
        Session.regenerate_id,
        lambda session: bool(session.id),
        lambda session: session.unset("user"),
        lambda session: session.pop("user", None),
        does(sets(user=1), lambda session: session.unset("user")),
        does(sets(user=1), Session.clear),
        does(sets(user=1), Session.destroy),
    ],
)
def test_nobody_costs_nothing(name: str, spy: Spy, handler: Handler) -> None:
    """Who looks, or signs out without a session, leaves no trace, and no server is asked."""
    with front_of(name, Made(KeyedStorage(spy))) as front:
        assert front.browser().ask(handler).all("set-cookie") == []
    assert spy.calls == []


RECORDS = {
    "empty": b"",
    "unknown version": b"\x7f1234",
    "truncated": b"\x01\x94",
    "no record": b"\x01\xc0",
    "moved without a time": b"\x02",
    "moved at no time": b"\x02\xa1x",
    "text": b"\x01<html>",
    "deep": b"\x01" + b"\x91" * 100_000,
    "huge": b"\x01" + b"\x00" * 2_000_000,
    "a huge announcement": b"\x01\x94\xdf\xff\xff\xff\xff",
}


@both
@pytest.mark.parametrize("damage", RECORDS.values(), ids=RECORDS)
def test_a_damaged_record_is_an_empty_session_and_a_warning(
    name: str, clock: Clock, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """No crash; the visitor starts anew, under another id."""
    storage = MemoryStorage(clock=clock)
    with front_of(name, Made(storage)) as front:
        browser = signed_in(front)
        key = key_of(browser.value or "")
        stored = storage.backend.get(key)
        assert stored
        assert storage.backend.swap(key, stored.version, damage, 60) is None
        before = browser.value
        assert browser.ask(is_new).json is True
        browser.ask(sets(user="Ada"))
        assert browser.value != before
        assert browser.ask(gets("user")).json == "Ada"
    assert "counts as absent" in caplog.text
    assert [record.levelname for record in caplog.records][:1] == ["WARNING"]


@both
def test_a_damaged_value_is_absent_and_the_others_stay(
    name: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A record that is whole but for one value."""
    storage = MemoryStorage(clock=clock)
    with front_of(name, Made(storage)) as front:
        browser = signed_in(front)
        key = key_of(browser.value or "")
        stored = storage.backend.get(key)
        assert stored
        live = storage.read(browser.value)
        record = live.draft.base
        assert record
        record.values["bad"] = type(encode("k", 1))(b"\xa5\xff\xff\xff\xff\xff")
        storage.backend.swap(key, stored.version, pack(record), 60)
        assert browser.ask(gets("bad")).json is None
        assert browser.ask(gets("user")).json == "Ada"
    assert "damaged" in caplog.text


# Around it


def test_no_forwarding_header_is_believed() -> None:
    """
    Secure is what the cookie says; no header of a request changes it, because none is read. Only
    `rejections` looks at the scheme, to say in the log why a browser will lose a cookie.
    """
    forwarded = re.compile(r"[\"']((http_)?x[-_])?forwarded", re.IGNORECASE)
    scheme = re.compile(r"url_scheme|scope\[.scheme.\]|get\(.scheme.")
    texts = {path.name: path.read_text() for path in SOURCE.rglob("*.py")}
    assert [name for name, text in texts.items() if forwarded.search(text)] == []
    assert [name for name, text in texts.items() if scheme.search(text)] == ["rejections.py"]


def unreachable(kind: str, stack: ExitStack, path: Path, timeout: float) -> SessionStorage:
    """Return a storage whose server is at *path*, where it is not, or does not answer."""
    if kind == "redis":
        once = Retry(NoBackoff(), 0)
        client = redis.Redis(unix_socket_path=str(path), socket_timeout=timeout, retry=once)
        stack.callback(client.close)
        return RedisStorage(client)
    storage = MemcachedStorage(str(path), timeout=timeout)
    assert isinstance(storage.backend, MemcachedBackend)
    stack.callback(storage.backend.close)
    return KeyedStorage(storage.backend)


@both
@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_store_that_is_down_is_an_error_and_the_cookie_stays(
    name: str, kind: str, tmp_path: Path
) -> None:
    """When it reads and when it saves; who has no cookie and only looks is served."""
    with ExitStack() as stack:
        storage = unreachable(kind, stack, tmp_path / "nobody", 1)
        browser = stack.enter_context(front_of(name, Made(storage))).browser()
        assert browser.ask(is_new).json is True
        with pytest.raises(BackendError):
            browser.ask(sets(user="Ada"))
        browser.header = holding(new_id())
        kept = browser.header
        with pytest.raises(BackendError):
            browser.ask(is_new)
        assert browser.header == kept


@both
@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_store_that_never_answers_is_an_error_within_its_timeout(
    name: str, kind: str, server_folder: Path
) -> None:
    """A server that takes the question and says nothing."""
    path = server_folder / f"silent-{name}-{kind}"
    with ExitStack() as stack, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        storage = unreachable(kind, stack, path, 0.05)
        browser = stack.enter_context(front_of(name, Made(storage))).browser()
        browser.header = holding(new_id())
        with pytest.raises(BackendError):
            browser.ask(is_new)
