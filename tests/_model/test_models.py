"""What each kind of model may be."""

import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Required, TypedDict

import msgspec
import pytest
import typing_extensions
from pydantic import BaseModel, Field, field_validator, model_validator

from coatcheck import (
    ConfigurationError,
    Session,
    UnstorableValue,
    session,
)
from coatcheck._model.models import model_of
from coatcheck.storage import MemoryStorage
from tests._model import model_kinds as kinds
from tests._model.models import (
    KINDS,
    Keys,
    Plain,
    at,
    filled,
    puts,
    stored,
    then,
    warned,
)
from tests.hosts import COOKIE, Front


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


@pytest.mark.parametrize("rich", kinds.LINES, ids=lambda kind: kind.__name__)
def test_what_a_session_cannot_hold_comes_back_as_the_model_says(
    front: Front, rich: type[Any]
) -> None:
    """Sets, decimals, dates, ids, enums and other models are kept as plain values."""
    browser = front.browser(data=rich)
    lines = [kinds.LINES[rich](name="hat", sizes=[kinds.Size.SMALL])]
    browser.ask(puts(**kinds.VALUES, lines=lines))

    def compare(session: Session) -> list[str]:
        expected = {**kinds.VALUES, "lines": lines}
        return [name for name in expected if at(session.data, name) != expected[name]]

    answer = browser.ask(compare)
    assert answer.json == [] and not answer.all("set-cookie")


@dataclass
class NeedsOne:
    user: str


class NeedsOneStruct(msgspec.Struct):
    user: str


class NeedsOneKey(TypedDict):
    user: str


class NeedsOnePydantic(BaseModel):
    user: str


@pytest.mark.parametrize("wrong", [NeedsOne, NeedsOneStruct, NeedsOneKey, NeedsOnePydantic])
def test_a_field_needs_a_default(wrong: type[Any]) -> None:
    """A new visitor has no values: said when the middleware is made."""
    with pytest.raises(ConfigurationError, match="a new visitor has n") as raised:
        session(COOKIE, MemoryStorage(), data=wrong)
    assert wrong.__name__ in str(raised.value)


class Aliased(BaseModel):
    user: str = Field("", alias="u")


def test_a_field_with_an_alias_is_refused() -> None:
    """The session's keys are the fields' own names, and one name is enough."""
    with pytest.raises(ConfigurationError, match=r"Aliased\.user has an alias"):
        session(COOKIE, MemoryStorage(), data=Aliased)


@dataclass
class Holds:
    what: Any = None


@dataclass
class HoldsNothingPlain:
    what: Any = field(default_factory=object)


def test_a_default_that_no_session_can_hold_is_refused() -> None:
    """Also when the middleware is made."""
    with pytest.raises(ConfigurationError, match="HoldsNothingPlain"):
        session(COOKIE, MemoryStorage(), data=HoldsNothingPlain)


@pytest.mark.parametrize("value", [object(), datetime(2026, 1, 2)])  # noqa: DTZ001  # naive on purpose
def test_a_value_that_no_session_can_hold_is_refused_at_the_save(
    shop: Front, value: object
) -> None:
    """The error names the field."""
    with pytest.raises(UnstorableValue, match="'what'"):
        shop.browser(data=Holds).ask(puts(what=value))


@dataclass
class Range:
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"secret {self.low}")


class CheckedRange(BaseModel):
    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def check(self) -> "CheckedRange":
        if self.low > self.high:
            raise ValueError(f"secret {self.low}")
        return self


@pytest.mark.parametrize("together", [Range, CheckedRange])
def test_fields_that_do_not_fit_together(
    shop: Front, together: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """When read, all stand at their defaults; at the save, they are refused; no value is told."""
    browser = filled(shop, shop.browser(data=together), low=77, high=1)
    assert browser.ask(lambda session: [session.data.low, session.data.high]).json == [0, 9]
    assert "do not fit together" in (text := warned(caplog)) and "77" not in text
    with pytest.raises(UnstorableValue, match="fit together") as raised:
        shop.browser(data=together).ask(puts(low=77))
    assert "77" not in str(raised.value)


@dataclass
class Inner:
    secret: str = ""

    def __post_init__(self) -> None:
        if self.secret:
            raise ValueError(f"Expected nothing, got {self.secret}")


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    size: kinds.Size = kinds.Size.SMALL
    needs: list[Inner] = field(default_factory=list)


def test_a_log_line_holds_nothing_of_what_did_not_fit(
    shop: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a validator says of the value, the log says what was expected at most."""
    browser = shop.browser(data=Outer)
    filled(shop, browser, inner={"secret": "77"}, size="77", needs=[{"secret": 77}])
    assert browser.ask(lambda session: session.data.size.value).json == "s"
    text = warned(caplog)
    assert "77" not in text
    assert "Expected `str`, got `int` - at `$[0].secret`" in text


class Strange(BaseModel):
    user: str = ""

    @field_validator("user")
    @classmethod
    def check(cls, user: str) -> str:
        if user:
            raise KeyError(user)
        return user


def test_a_validator_that_breaks_is_no_error(shop: Front, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an application's own code raises about a stored value, the request is served."""
    browser = filled(shop, shop.browser(data=Strange), user="ada")
    assert browser.ask(lambda session: session.data.user).json == ""
    assert "ada" not in warned(caplog)


class Marks(typing_extensions.TypedDict):
    user: typing_extensions.NotRequired[str]


class Needs(TypedDict, total=False):
    user: Required[str]


def test_a_typed_dict_says_of_each_key_whether_it_may_be_absent(shop: Front) -> None:
    """NotRequired will do, also from typing_extensions; Required is refused."""
    browser = shop.browser(data=Marks)
    browser.ask(puts(user="ada"))
    assert browser.ask(lambda session: session.data).json == {"user": "ada"}
    with pytest.raises(ConfigurationError, match="new visitor has no 'user'"):
        session(COOKIE, MemoryStorage(), data=Needs)


def test_pydantic_is_imported_with_its_models_alone() -> None:
    """An application without pydantic pays nothing for it."""
    script = (
        "import dataclasses, sys, coatcheck\n"
        "Visit = dataclasses.make_dataclass('Visit', [('user', str, '')])\n"
        "coatcheck.Schema(Visit)\n"
        "print('pydantic' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


SHARED: list[int] = []


@dataclass
class Shares:
    cart: list[int] = field(default_factory=lambda: SHARED)


def test_a_default_that_all_sessions_would_share_is_refused() -> None:
    """A visitor would change it for all others; the message names the field."""
    with pytest.raises(ConfigurationError, match=r"default of Shares.cart is one object"):
        model_of(Shares)


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.__name__)
def test_what_fits_is_read_and_what_does_not_is_named(model: type[Any]) -> None:
    """Without what it held: the misfits go into the log."""
    built = model_of(model).build({"visits": "secret", "user": "ada", "other": 1})
    assert at(built.data, "user") == "ada"
    assert not at(built.data, "visits")
    assert built.misfits.keys() == {"visits"}
    assert "secret" not in str(built.misfits)
    assert repr(built) == "<Built>"
