"""Versions of a schema: older records are upgraded, newer ones served, and none is lost."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from coatcheck import (
    ConfigurationError,
    Schema,
    Session,
)
from coatcheck._session.record import Contents
from coatcheck._session.values import encode
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests._model.models import (
    Plain,
    at,
    filled,
    put,
    puts,
    stored,
    then,
    to_two,
    versioned,
    warned,
)
from tests.hosts import COOKIE, Front, Handler, Wsgi


def test_an_older_record_is_upgraded(front: Front, kind: type[Any]) -> None:
    """Fields and keys show the new form at once; it is written with the next change."""
    browser = filled(front, front.browser(data=versioned(kind)), cart="1,2", other=3)
    before = browser.header
    seen = browser.ask(lambda session: [at(session.data, "cart"), session["cart"]])
    assert seen.json == [[1, 2], [1, 2]] and browser.header == before
    assert stored(front, browser) == {"cart": "1,2", "other": 3}
    browser.ask(puts(user="ada"))
    assert stored(front, browser) == {"cart": [1, 2], "other": 3, "user": "ada", "_schema": 2}
    assert browser.ask(lambda session: at(session.data, "cart")).json == [1, 2]


def test_a_new_session_has_the_version(front: Front, kind: type[Any]) -> None:
    """It is never upgraded: the version stands beside the first value, and goes with the last."""
    browser = front.browser(data=versioned(kind))
    browser.ask(puts(visits=1))
    assert stored(front, browser) == {"visits": 1, "_schema": 2}
    browser.ask(lambda session: session.unset("visits"))
    assert stored(front, browser) == {}


def test_version_one_is_not_stored(shop: Front, kind: type[Any]) -> None:
    """A session whose schema never changed costs no byte more."""
    browser = shop.browser(data=Schema(kind))
    browser.ask(puts(visits=1))
    assert stored(shop, browser) == {"visits": 1}


def test_an_older_process_reads_a_newer_record_as_it_is(shop: Front, kind: type[Any]) -> None:
    """While a deployment rolls, the version does not fall, and what fits is served."""
    newer, older = shop.browser(data=versioned(kind)), shop.browser(data=kind)
    newer.ask(puts(cart=[1]))
    older.header = newer.header
    older.ask(lambda session: at(session.data, "cart").append(2))
    assert stored(shop, newer) == {"cart": [1, 2], "_schema": 2}


def test_an_upgrade_that_fails_is_no_error(
    front: Front, kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The values stay, those that fit are served, and the log names the error's class alone."""
    browser = filled(front, front.browser(data=versioned(kind)), cart="secret", user="ada")
    assert browser.ask(lambda session: at(session.data, "user")).json == "ada"
    upgrade, misfit = caplog.records
    assert "ValueError" in upgrade.getMessage() and "cart" in misfit.getMessage()
    assert "secret" not in caplog.text
    caplog.clear()


def test_an_upgrade_that_returns_nothing_is_no_error(
    shop: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is one that returns what no session can hold."""
    wrong: list[Any] = [lambda values, _: values.clear(), lambda *_: {"user": object()}]
    for upgrade in wrong:
        browser = shop.browser(data=Schema(Plain, version=2, upgrade=upgrade))
        filled(shop, browser, user="ada")
        assert browser.ask(lambda session: session.data.user).json == "ada"
        assert "the upgrade of a session from version 1 failed" in warned(caplog)


def empties(session: Session) -> None:
    session.clear()
    session.flash("notice", "Cleared.")


@pytest.mark.parametrize("cart", ["1,2", [1, 2]])
def test_a_change_to_what_was_emptied_meanwhile_has_the_version(
    shop: Front, kind: type[Any], cart: object
) -> None:
    """Whatever a change is replayed on, what comes of it is of the version it was made for."""
    first, second = shop.browser(data=versioned(kind)), shop.browser()
    more = {} if cart == "1,2" else {"_schema": 2}
    second.header = filled(shop, first, cart=cart, **more).header
    first.ask(then(puts(user="ada"), lambda _: second.ask(empties)))
    assert stored(shop, first) == {"user": "ada", "_schema": 2}
    assert first.ask(lambda session: at(session.data, "user")).json == "ada"


def test_the_version_stays_where_another_request_puts_a_value(shop: Front, kind: type[Any]) -> None:
    """The last value goes in one request, and another comes at the same time."""
    first, second = (shop.browser(data=versioned(kind)) for _ in range(2))
    first.ask(puts(visits=1))
    second.header = first.header
    unset: list[Handler] = [lambda session: session.unset("visits")]
    first.ask(then(*unset, lambda _: second.ask(puts(user="ada"))))
    assert stored(shop, first) == {"user": "ada", "_schema": 2}


def test_the_next_version_is_reached_from_the_one_before(shop: Front) -> None:
    """The upgrade is told which that was, and sees values alone."""

    def to_three(values: dict[str, Any], version: int) -> dict[str, Any]:
        return {"user": f"{version} {values}"}

    second = shop.browser(data=versioned(Plain))
    second.ask(puts(visits=1))
    third = shop.browser(data=Schema(Plain, version=3, upgrade=to_three))
    third.header = second.header
    assert third.ask(lambda session: session.data.user).json == "2 {'visits': 1}"


def test_a_damaged_version_counts_as_the_first(shop: Front) -> None:
    """Whatever lies under that key, the request is served."""
    browser = filled(shop, shop.browser(data=versioned(Plain)), cart="1", _schema="x")
    assert browser.ask(lambda session: session.data.cart).json == [1]


def test_two_requests_that_upgrade_do_it_once(shop: Front, kind: type[Any]) -> None:
    """The slower one's upgrade does nothing on what the faster one left."""
    first, second = shop.browser(data=versioned(kind)), shop.browser(data=versioned(kind))
    second.header = filled(shop, first, cart="1,2").header

    def handler(session: Session) -> None:
        put(session.data, user="ada")
        second.ask(lambda other: at(other.data, "cart").append(3))

    first.ask(handler)
    assert stored(shop, first) == {"cart": [1, 2, 3], "user": "ada", "_schema": 2}


def test_an_upgrade_is_made_on_what_an_older_process_left(shop: Front, kind: type[Any]) -> None:
    """A change that was made on upgraded values is replayed on upgraded values."""
    newer, older = shop.browser(data=versioned(kind)), shop.browser()
    older.header = filled(shop, newer, cart="1,2").header

    def handler(session: Session) -> None:
        put(session.data, user="ada")
        older.ask(lambda other: other.set("cart", "7"))

    newer.ask(handler)
    assert stored(shop, newer) == {"cart": [7], "user": "ada", "_schema": 2}


def test_a_refresh_writes_the_upgraded_values(clock: Clock) -> None:
    """A record that is written anyway is written in its new form."""
    front = Wsgi(MemoryStorage(clock=clock))
    browser = filled(front, front.browser(data=versioned(Plain)), cart="1")
    clock.now += (COOKIE.max_age or 0) / 2
    browser.ask(lambda session: session.data.cart)
    assert stored(front, browser) == {"cart": [1], "_schema": 2}


@dataclass
class Marked:
    _schema: int = 1


@pytest.mark.parametrize(
    "options", [{"version": 0}, {"version": 2}, {"upgrade": to_two}, {"version": -1}]
)
def test_version_and_upgrade_go_together(options: dict[str, Any]) -> None:
    """A version without a way to it, or a way to none, is a mistake."""
    with pytest.raises(ConfigurationError, match="go together"):
        Schema(Plain, **options)


def test_the_key_of_the_version_is_no_field() -> None:
    """One key cannot hold both."""
    with pytest.raises(ConfigurationError, match="_schema"):
        Schema(Marked)


def test_a_damaged_value_counts_as_absent(caplog: pytest.LogCaptureFixture) -> None:
    """The field stands at its default, and the others stay."""
    values = {"visits": msgspec.Raw(b"\xc1"), "user": encode("user", "ada")}
    assert Schema(Plain).build(Contents(values=values)).data == Plain(user="ada")
    assert "damaged" in warned(caplog)
