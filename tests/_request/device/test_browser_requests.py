"""The browser's own requests, and every refusal."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from coatcheck import BackendError, Bound, Event, Session, user_digest
from coatcheck._cookie.base64url import pack_base64url, unpack_base64url
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck._session.binding import UNDER_WAY
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock, failing
from tests._request.device.shops import BOUND, COOKIE, LONG, RSA, SHORT, Shop, sets
from tests.bound_browsers import (
    REFRESH,
    REGISTER,
    BoundBrowser,
    headers_of,
)
from tests.devices import Key

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""n, the order of the group of P-256 (FIPS 186-4, D.1.2.3)."""


def test_a_refresh_asks_first_and_then_needs_one_request(either: Shop) -> None:
    """The first one gets the challenge with a 403; each 200 brings the next."""
    browser = either.browser().signs_in()
    asks = browser.send(REFRESH, sec_secure_session_id=browser.id)
    assert asks.status == 403
    assert headers_of(asks)["secure-session-challenge"] == (
        f'"{browser.challenge}";id="{browser.id}"'
    )
    for _ in range(3):
        before = browser.challenge
        assert browser.refreshes().status == 200
        assert browser.challenge != before


def test_the_instructions_say_nothing_that_a_proxy_changes(clock: Clock) -> None:
    """Neither origin nor prefix; the cookie's attributes are those of its Set-Cookie."""
    bound = Bound(prefix="/shop", exclude=["/shop/static"], include=["/shop"])
    browser = Shop(clock, bound=bound).browser()
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.offer["path"] == "/shop/_session/register"
    answer = browser.registers()
    told = json.loads(answer.body)
    assert told["refresh_url"] == "refresh"
    assert told["scope"] == {
        "include_site": False,
        "scope_specification": [
            {"type": "exclude", "path": "/shop/static"},
            {"type": "include", "path": "/shop"},
            {"type": "exclude", "path": "/"},
            {"type": "include", "path": "/shop"},
            {"type": "exclude", "path": "/shop/static"},
        ],
    }
    attributes = "Path=/; Secure; HttpOnly; SameSite=Lax"
    assert told["credentials"] == [{"type": "cookie", "name": SHORT, "attributes": attributes}]
    assert headers_of(answer)["set-cookie"].endswith(f"; Max-Age=600; {attributes}")
    assert headers_of(answer)["content-type"] == "application/json"


def test_an_answer_is_for_no_reader_and_no_frame(shop: Shop) -> None:
    """Of another origin; and no cache keeps it."""
    browser = shop.browser().signs_in()
    for answer in (browser.refreshes(), browser.send(REGISTER)):
        headers = headers_of(answer)
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "OPTIONS"}, 405),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "none"}, 403),
        ({"sec_fetch_site": ""}, 403),
        ({"sec_fetch_mode": "cors"}, 403),
        ({"sec_fetch_mode": "navigate"}, 403),
        ({"sec_fetch_dest": "iframe"}, 403),
        ({"content_length": "1"}, 400),
        ({"transfer_encoding": "chunked"}, 400),
    ],
)
@pytest.mark.parametrize("path", [REGISTER, REFRESH])
def test_what_no_browser_sends_by_itself_is_refused(
    either: Shop, path: str, facts: dict[str, str], status: int
) -> None:
    """Scripts and forms of any page, other origins, a body: nothing is read or changed."""
    browser = either.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    if path == REGISTER:
        assert browser.registers(**facts).status == status
        assert browser.registers().status == 200
        return
    browser.registers()
    browser.refreshes()
    before = browser.challenge
    assert browser.refreshes(**facts).status == status
    assert browser.challenge == before
    assert browser.refreshes().status == 200


def test_quotes_and_parameters_of_a_field_are_read_as_specified(shop: Shop) -> None:
    """Chromium sends neither; a text with a quote inside is none."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    jws = browser.key.registers(browser.offer["challenge"], browser.offer["authorization"])
    assert browser.registers(f'"{jws}"; x=1').status == 200
    assert browser.refreshes(sec_secure_session_id=f'"{browser.id}"').status == 200
    assert browser.refreshes(sec_secure_session_id=f'"{browser.id}').status == 400
    assert browser.refreshes(sec_secure_session_id='"').status == 400


Attack = Callable[[BoundBrowser], str]


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (lambda _: "", "malformed"),
        (lambda _: "a.b.c", "malformed"),
        (lambda _: "A" * 100_000, "malformed"),
        (lambda it: it.key.registers(**_offer(it), alg="none"), "algorithm"),
        (lambda it: it.key.registers(**_offer(it), typ="JWT"), "type"),
        (lambda it: it.key.refreshes(it.offer["challenge"]), "key"),
        (lambda it: it.key.registers(**_offer(it), jwk=Key().jwk), "signature"),
        (lambda it: it.key.registers("another", it.offer["authorization"]), "challenge"),
        (lambda it: it.key.registers(it.offer["challenge"], "another"), "authorization"),
        (lambda it: it.key.registers(it.offer["challenge"], ""), "authorization"),
    ],
)
def test_a_registration_that_is_wrong_is_refused(shop: Shop, attack: Attack, why: str) -> None:
    """Without an exception; the session stays free, and the right one is taken afterwards."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    assert browser.registers(attack(browser)).status == 400
    assert shop.refused == [why]
    assert browser.ask(lambda session: session.is_bound) is False
    assert browser.registers().status == 200


def _offer(browser: BoundBrowser) -> dict[str, str]:
    return {key: browser.offer[key] for key in ("challenge", "authorization")}


def test_a_registration_without_an_offer_is_refused(shop: Shop) -> None:
    """Nobody's; a visitor's; one that was taken, or that is too old."""
    browser = shop.browser()
    proof = browser.key.registers("c", "a")
    assert browser.registers(proof).status == 400
    browser.ask(sets("x"))
    assert browser.registers(proof).status == 400
    browser.signs_in()
    assert browser.registers().status == 400
    late = shop.browser()
    late.ask(lambda session: session.sign_in("bob"))
    shop.later(301)
    assert late.registers().status == 400
    assert shop.refused == ["no session", "not offered", "not offered", "not offered"]
    assert late.ask() == "bob"


def test_a_thief_cannot_register_a_key_of_their_own(shop: Shop) -> None:
    """With the cookie, but not the answer to the sign-in; nor with an offer of another session."""
    browser = shop.browser()
    browser.ask(lambda session: session.sign_in("ada"))
    thief = browser.copy(LONG)
    own = shop.browser()
    own.ask(lambda session: session.sign_in("eve"))
    thief.offer = own.offer
    assert thief.registers().status == 400
    assert browser.registers().status == 200
    thief.offer = browser.offer
    assert thief.registers().status == 400
    shop.later(UNDER_WAY)
    assert thief.ask() is None


@pytest.mark.parametrize(
    ("attack", "why", "status"),
    [
        (lambda _: "a.b.c", "malformed", 400),
        (lambda _: "A" * 100_000, "malformed", 400),
        (lambda it: it.key.refreshes(it.challenge, alg="none"), "algorithm", 400),
        (lambda it: RSA.refreshes(it.challenge), "algorithm", 400),
        (lambda it: it.key.refreshes(it.challenge, typ="JWT"), "type", 400),
        (lambda it: it.key.refreshes(it.challenge, jwk=it.key.jwk), "key", 400),
        (lambda it: it.key.registers(it.challenge, it.id), "key", 400),
        (lambda it: Key().refreshes(it.challenge), "signature", 400),
        (lambda it: it.key.refreshes("of another session"), "challenge", 403),
        (lambda it: it.key.refreshes(""), "challenge", 403),
        (lambda it: it.last, "challenge", 403),
    ],
)
def test_a_refresh_that_is_wrong_is_refused(
    shop: Shop, attack: Attack, why: str, status: int
) -> None:
    """Without an exception; the right one is taken afterwards. A stale challenge gets the new."""
    browser = shop.browser().signs_in()
    browser.refreshes()
    before = dict(browser.cookies)
    answer = browser.refreshes(attack(browser))
    assert answer.status == status
    assert shop.refused == [why]
    assert browser.cookies == before
    assert ("secure-session-challenge" in headers_of(answer)) is (status == 403)
    assert browser.refreshes().status == 200


def test_a_proof_of_another_session_is_refused(shop: Shop) -> None:
    """Of the same device, for a challenge of its own."""
    browser, other = shop.browser().signs_in(), shop.browser()
    other.key = browser.key
    other.signs_in("eve")
    browser.refreshes()
    other.refreshes()
    assert browser.refreshes(other.key.refreshes(other.challenge)).status == 403
    assert shop.refused == ["challenge"]


def test_a_challenge_of_an_earlier_round_is_stale(shop: Shop) -> None:
    """The previous one counts for one more proof, the one before it for none."""
    browser = shop.browser().signs_in()
    browser.refreshes()
    older = browser.challenge
    browser.refreshes()
    previous = browser.challenge
    browser.refreshes()
    assert browser.refreshes(browser.key.refreshes(older)).status == 403
    assert browser.refreshes(browser.key.refreshes(previous)).status == 200
    assert browser.refreshes(browser.key.refreshes(previous)).status == 403


def test_a_copied_proof_is_refused_in_its_other_form_too(shop: Shop) -> None:
    """With each signature (r, s) of ES256, (r, n - s) fits, too: anybody can make one of both."""
    browser = shop.browser().signs_in()
    browser.refreshes()
    signed, _, signature = browser.last.rpartition(".")
    pair = unpack_base64url(signature)
    assert pair is not None
    other = (P256_ORDER - int.from_bytes(pair[32:])).to_bytes(32)
    assert browser.refreshes(f"{signed}.{pack_base64url(pair[:32] + other)}").status == 403
    assert shop.refused == ["challenge"]


def test_a_refresh_without_the_browsers_own_header_is_refused(shop: Shop) -> None:
    browser = shop.browser().signs_in()
    assert browser.refreshes(sec_secure_session_id="").status == 400
    assert shop.refused == ["no session id"]


def test_sign_out_ends_the_binding(shop: Shop) -> None:
    """The bound cookie goes with the session's; the next refresh tells the browser."""
    browser = shop.browser().signs_in()
    browser.refreshes()
    copy = browser.copy(LONG, SHORT)
    copy.id, copy.key, copy.challenge = browser.id, browser.key, browser.challenge
    browser.ask(Session.sign_out)
    assert browser.cookies == {}
    for each in (browser, copy):
        answer = each.refreshes()
        told = {"session_identifier": browser.id, "continue": False}
        assert (answer.status, json.loads(answer.body)) == (200, told)
    assert copy.ask() is None


def test_a_refresh_of_a_session_that_is_not_bound_ends_it_in_the_browser(shop: Shop) -> None:
    """A visitor's, or a free one."""
    browser = shop.browser()
    browser.ask(sets("x"))
    browser.id = "unknown"
    assert json.loads(browser.refreshes().body)["continue"] is False
    browser.ask(lambda session: session.sign_in("ada"))
    assert json.loads(browser.refreshes().body)["continue"] is False


def test_a_refresh_while_the_id_changes_is_tried_again(shop: Shop) -> None:
    """The cookie with the new id is on its way: the browser keeps the binding."""
    browser = shop.browser().signs_in()
    old = browser.copy(LONG)
    old.id = browser.id
    browser.ask(Session.confirm)
    assert old.refreshes().status == 503
    shop.later(61)
    assert json.loads(old.refreshes().body)["continue"] is False


def test_a_refresh_with_the_id_before_a_rotation_gets_the_new_one(clock: Clock) -> None:
    """As any request with it does."""
    shop = Shop(clock, rotate=300)
    browser = shop.browser().signs_in()
    shop.later(301)
    old = browser.copy(LONG, SHORT)
    old.id, old.key = browser.id, browser.key
    browser.ask()
    assert old.refreshes().status == 200
    assert old.cookies[LONG] == browser.cookies[LONG]
    assert old.ask(lambda session: session.is_bound)


def test_a_refresh_renews_the_session(shop: Shop) -> None:
    """It is use: the cookie is sent again when that is due."""
    browser = shop.browser().signs_in()
    shop.later(3 * 24 * 3600)
    before = browser.cookies.pop(LONG)
    browser.cookies[LONG] = before
    answer = browser.refreshes()
    lines = [value for name, value in answer.headers if name == "set-cookie"]
    assert any(line.startswith(f"{LONG}=") for line in lines)


def test_while_the_storage_fails_the_browser_tries_later(
    clock: Clock, opened: Callable[[Shop], Shop]
) -> None:
    """With "unavailable" and "anonymous"; with "raise" the request fails as any other."""
    shop = opened(Shop(clock, on_outage="anonymous"))
    browser = shop.browser().signs_in()
    with failing(shop.storage):
        assert browser.refreshes().status == 503
    shop = opened(Shop(clock, on_outage="unavailable"))
    browser = shop.browser().signs_in()
    for reads in (True, False):
        with failing(shop.storage, reads=reads):
            assert browser.refreshes().status == 503
    strict = opened(Shop(clock))
    browser = strict.browser().signs_in()
    with failing(strict.storage), pytest.raises(BackendError):
        browser.refreshes()


def test_of_two_cookies_the_living_one_is_refreshed(
    clock: Clock, opened: Callable[[Shop], Shop]
) -> None:
    """As on a page."""
    browser = opened(Shop(clock)).browser().signs_in()
    dead = COOKIE.serialize("A" * 40).partition(";")[0]
    browser.cookies[LONG] = f"{dead.partition('=')[2]}; {LONG}={browser.cookies[LONG]}"
    assert browser.refreshes().status == 200


def test_of_two_cookies_none_is_read_while_the_storage_fails(
    clock: Clock, opened: Callable[[Shop], Shop]
) -> None:
    """The first that cannot be read is the answer."""
    shop = opened(Shop(clock, on_outage="unavailable"))
    browser = shop.browser().signs_in()
    browser.cookies[LONG] = f"{browser.cookies[LONG]}; {LONG}={browser.cookies[LONG]}"
    with failing(shop.storage):
        assert browser.ask().status == 503


def test_an_error_of_our_own_is_no_outage(
    clock: Clock, opened: Callable[[Shop], Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the host, which answers 500."""
    shop = opened(Shop(clock, on_outage="unavailable"))
    browser = shop.browser().signs_in()
    assert shop.cycle.device

    def breaks(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(shop.cycle.device, "finish", breaks)
    with pytest.raises(RuntimeError, match="a fault"):
        browser.refreshes()


def test_each_refusal_is_an_event_with_its_reason(clock: Clock) -> None:
    """With the handle of the session, where it is known, and nothing of the proof."""
    events: list[Event] = []
    cycle = Cycle(COOKIE, MemoryStorage(clock=clock), bound=BOUND, on_event=events.append)
    shell: Any = Shell(cycle)
    browser = BoundBrowser(shell).signs_in()
    handle = browser.ask(lambda session: session.signed_in and session.signed_in.handle)
    browser.refreshes("a.b.c")
    browser.refreshes(browser.key.refreshes("unknown"))
    BoundBrowser(shell).registers("a.b.c")
    clock.advance(UNDER_WAY)
    browser.copy(LONG).ask()
    refused = [(each.reason, each.handle) for each in events if each.kind == "refused"]
    assert refused == [
        ("device: malformed", handle),
        ("device: challenge", handle),
        ("device: no session", ""),
        ("device: no proof", handle),
    ]


def test_a_registration_is_an_event(clock: Clock) -> None:
    """One for each that counts, once it is saved: none for a second one, a lost one, a refresh."""
    events: list[Event] = []
    storage = MemoryStorage(clock=clock)
    shell: Any = Shell(Cycle(COOKIE, storage, bound=BOUND, on_event=events.append))
    browser = BoundBrowser(shell)
    browser.ask(lambda session: session.sign_in("ada"))

    def bound() -> list[tuple[str, str, str]]:
        return [(it.handle, it.user, it.reason) for it in events if it.kind == "bound"]

    with failing(storage, reads=False), pytest.raises(BackendError):
        browser.registers()
    assert browser.registers("a.b.c").status == 400
    assert bound() == []
    assert browser.registers().status == 200
    handle = browser.ask(lambda session: session.signed_in and session.signed_in.handle)
    assert bound() == [(handle, user_digest(COOKIE, "ada"), "")]
    assert browser.registers().status == 400
    assert browser.refreshes().status == 200
    assert len(bound()) == 1


def test_a_registration_without_a_listener_tells_nobody(clock: Clock) -> None:
    """No event is made, and the session is bound as ever."""
    shop = Shop(clock)
    assert shop.cycle.reporter is None
    assert shop.browser().signs_in().ask(lambda session: session.is_bound)


def test_round_trips_are_as_promised(clock: Clock) -> None:
    """A page: as ever. A registration and a refresh: a read and a write. Asking first: a read."""
    shop = Shop(clock)
    calls: list[str] = []
    backend: Any = shop.storage.backend

    def counts(name: str) -> None:
        asked = getattr(backend, name)

        def noted(*call: Any) -> Any:
            calls.append(name)
            return asked(*call)

        setattr(backend, name, noted)

    counts("get")
    counts("swap")

    def counted(act: Callable[[], object]) -> list[str]:
        calls.clear()
        act()
        return list(calls)

    browser = shop.browser()
    assert counted(lambda: browser.ask(lambda session: session.sign_in("ada"))) == ["swap"]
    assert counted(browser.registers) == ["get", "swap"]
    assert counted(lambda: browser.send(REFRESH, sec_secure_session_id=browser.id)) == ["get"]
    assert counted(browser.refreshes) == ["get", "swap"]
    assert counted(browser.ask) == ["get"]
    assert counted(lambda: browser.ask(sets("x"))) == ["get", "swap"]
    shop.later(UNDER_WAY)
    assert counted(browser.copy(LONG).ask) == ["get"]
    assert counted(lambda: shop.browser().ask()) == []


def test_every_request_of_the_browser_is_answered_here(shop: Shop) -> None:
    """Also without a cookie: the application sees none."""
    browser = shop.browser()
    assert browser.registers(browser.key.registers("c", "a")).status == 400
    browser.id = "x"
    assert json.loads(browser.refreshes().body)["continue"] is False
