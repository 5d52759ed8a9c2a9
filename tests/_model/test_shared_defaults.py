"""A default that is one object for all sessions is refused when the middleware is made."""

import dataclasses
from typing import Any

import msgspec
import pydantic
import pytest

from coatcheck import ConfigurationError
from coatcheck._model.models import model_of


class Struct(msgspec.Struct):
    color: str = "blue"


class Frozen(msgspec.Struct, frozen=True):
    color: str = "blue"
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(unsafe_hash=True)
class Hashed:
    color: str = "blue"


@dataclasses.dataclass(frozen=True)
class Fixed:
    color: str = "blue"


@dataclasses.dataclass(frozen=True)
class Holding:
    colors: list[str] = dataclasses.field(default_factory=list)


ONE = Struct()
HOLDING = Holding()
SHARED = Hashed()
FIXED, FROZEN = Fixed(), Frozen()


@dataclasses.dataclass
class SharesAStruct:
    prefs: Struct = ONE


@dataclasses.dataclass
class SharesByItsFactory:
    prefs: Struct = dataclasses.field(default_factory=lambda: ONE)


@dataclasses.dataclass
class SharesAHashed:
    prefs: Hashed = SHARED


@dataclasses.dataclass
class SharesInsideAFrozen:
    prefs: Holding = HOLDING


@dataclasses.dataclass
class SharesInsideANewOne:
    prefs: dict[str, Struct] = dataclasses.field(default_factory=lambda: {"one": ONE})


class ModelThatShares(pydantic.BaseModel):
    prefs: Hashed = pydantic.Field(default_factory=lambda: SHARED)


@pytest.mark.parametrize(
    "model",
    [
        SharesAStruct,
        SharesByItsFactory,
        SharesAHashed,
        SharesInsideAFrozen,
        SharesInsideANewOne,
        ModelThatShares,
    ],
)
def test_a_default_that_sessions_would_share_is_refused(model: Any) -> None:
    """Whatever kind it is, and however deep it lies."""
    with pytest.raises(ConfigurationError, match=r"prefs is one object for all sessions"):
        model_of(model)


@dataclasses.dataclass
class Fine:
    name: str = "nobody"
    fixed: Fixed = FIXED
    frozen: Frozen = FROZEN
    pair: tuple[int, str] = (1, "a")
    prefs: Struct = dataclasses.field(default_factory=Struct)
    colors: list[str] = dataclasses.field(default_factory=list)


class FineModel(pydantic.BaseModel):
    inner: Fixed = FIXED
    colors: list[str] = []
    names: dict[str, str] = {}


@pytest.mark.parametrize("model", [Fine, FineModel])
def test_what_cannot_change_or_is_made_anew_may_be_a_default(model: Any) -> None:
    """Frozen objects, tuples, and what a factory makes."""
    assert model_of(model).fields
