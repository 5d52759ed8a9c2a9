"""One model in four kinds, and what a test does with the sessions of each."""

import logging
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field

from coatcheck import Schema, Session
from tests.hosts import Browser, Front, Handler

Positive = Annotated[int, msgspec.Meta(ge=0)]


@dataclass
class Plain:
    cart: list[int] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    user: str | None = None
    visits: Positive = 0


class Packed(msgspec.Struct):
    cart: list[int] = []
    seen: dict[str, int] = {}
    user: str | None = None
    visits: Positive = 0


class Keys(TypedDict, total=False):
    cart: list[int]
    seen: dict[str, int]
    user: str | None
    visits: Positive


class Checked(BaseModel):
    cart: list[int] = []
    seen: dict[str, int] = {}
    user: str | None = None
    visits: Annotated[int, Field(ge=0)] = 0


MODEL = ("cart", "user", "visits")

KINDS: list[type[Any]] = [Plain, Packed, Keys, Checked]


def at(data: Any, name: str) -> Any:
    """Return what a field holds; an absent key of a dict is filled, as its defaults would be."""
    if isinstance(data, dict):
        empty: dict[str, Any] = {"cart": [], "seen": {}}
        return data.setdefault(name, empty[name]) if name in empty else data.get(name)
    return getattr(data, name)


def put(data: Any, **values: Any) -> None:
    """Give fields these values."""
    for name, value in values.items():
        if isinstance(data, dict):
            data[name] = value
        else:
            setattr(data, name, value)


def puts(**values: Any) -> Handler:
    """Return a handler that gives fields of the data these values."""
    return lambda session: put(session.data, **values)


def then(*steps: Handler) -> Handler:
    """Return a handler that does one step after the other."""

    def handler(session: Session) -> None:
        for step in steps:
            step(session)

    return handler


def filled(front: Front, browser: Browser, **values: Any) -> Browser:
    """Return *browser* with a session that an application without a model has filled."""
    untyped = front.browser()
    untyped.ask(lambda session: session.update(values))
    browser.header = untyped.header
    return browser


def stored(front: Front, browser: Browser) -> dict[str, Any]:
    """Return what the storage holds, without any model."""
    return dict(front.read(browser.value))


def warned(caplog: pytest.LogCaptureFixture) -> str:
    """Take the one warning that was logged."""
    (found,) = caplog.records
    assert found.levelno == logging.WARNING
    text = found.getMessage()
    caplog.clear()
    return text


def to_two(values: dict[str, Any], version: int) -> dict[str, Any]:
    """Version 1 kept the cart as text: "1,2"."""
    assert version == 1
    return {**values, "cart": [int(item) for item in values["cart"].split(",")]}


def versioned(kind: type[Any]) -> Schema[Any]:
    return Schema(kind, version=2, upgrade=to_two)
