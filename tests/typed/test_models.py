"""What each kind of model may be."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from coatcheck import (
    ConfigurationError,
    Session,
    UnstorableValue,
    session,
)
from coatcheck.storage import MemoryStorage
from tests.fronts import COOKIE, Front
from tests.typed.models import Keys, Plain, filled, puts, stored, then


def test_a_key_that_leaves_a_typed_dict_is_unset(shop: Front) -> None:
    """A TypedDict's keys may go."""
    browser = filled(shop, shop.browser(data=Keys), user="ada", visits=1)
    browser.ask(lambda session: session.data.pop("user"))
    assert stored(shop, browser) == {"visits": 1}


def test_a_key_that_a_typed_dict_does_not_have_is_refused(shop: Front) -> None:
    """A misspelled key is an error, not data."""
    with pytest.raises(UnstorableValue, match=r"'vists'.*Keys has no such key"):
        shop.browser(data=Keys).ask(puts(vists=1))


@dataclass(frozen=True)
class Frozen:
    cart: tuple[int, ...] = ()
    user: str | None = None


def test_a_frozen_model_is_changed_by_another_object_or_by_key(shop: Front) -> None:
    """What cannot change in place is put in place of what was there."""
    browser = shop.browser(data=Frozen)

    def handler(session: Session[Frozen]) -> list[Any]:
        session.data = replace(session.data, cart=(1, 2))
        session["user"] = "ada"
        return [session.data.cart, session.data.user]

    assert browser.ask(handler).json == [[1, 2], "ada"]
    assert stored(shop, browser) == {"cart": [1, 2], "user": "ada"}


def test_the_option_is_refused_when_it_is_wrong() -> None:
    """What is no model, when the middleware is made."""
    for wrong in (int, 7, "Visit", Plain()):
        with pytest.raises(ConfigurationError, match="is no dataclass"):
            session(COOKIE, MemoryStorage(), data=wrong)  # type: ignore[arg-type]


@dataclass
class Made:
    given: int = 0
    made: list[int] = field(default_factory=list, init=False)


def test_a_field_that_no_caller_gives_is_no_key(shop: Front) -> None:
    """What a dataclass makes by itself is not kept."""
    browser = shop.browser(data=Made)
    browser.ask(then(lambda session: session.data.made.append(1), puts(given=2)))
    assert stored(shop, browser) == {"given": 2}
