"""
What a model tells of a session: its keys, their types, and their defaults.

    dataclass, msgspec.Struct, TypedDict    each field is read by itself
    pydantic model                          pydantic reads it, whole

A field is a key of the session under its own name. What is kept is plain: what `Session` holds. A
set is kept as a list, a Decimal, a UUID, a date or a member of an Enum as text or number, and each
comes back as what the model says.

Pure: plain values in, an object out, and back.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol, get_args, get_origin

import msgspec

from coatcheck._model.shared_defaults import shared_field
from coatcheck.errors import ConfigurationError, UnstorableValue

Plain = dict[str, Any]
"""Values by key, as a session holds them."""


class Built(NamedTuple):
    """
    An object of a model, and what did not fit it.

    Args:
        misfits: The fields that stand at their defaults for that, each with what was expected.
        whole: Every field fits, and the model refuses them together: all stand at their defaults.
    """

    data: Any
    misfits: dict[str, str]
    whole: bool = False

    def __repr__(self) -> str:
        return "<Built>"


class Model(Protocol):
    """The class that an application gave, as the session sees it."""

    name: str
    fields: frozenset[str]

    def build(self, values: Mapping[str, Any], /) -> Built:
        """Return an object that holds those of *values* that fit; what there is not, by default."""

    def dump(self, data: Any, /) -> Plain:
        """
        Return what an object holds, field by field.

        Raises:
            UnstorableValue: A field holds what cannot be made plain.
        """


def model_of(kind: Any) -> Model:
    """
    Return what the class *kind* says.

    Raises:
        ConfigurationError: It is no class of these, a field of it has no default, or what it holds
            at first is nothing a session can hold.
    """
    model = _made(kind)
    try:
        first, second = model.build({}).data, model.build({}).data
        model.dump(first)
    except Exception as error:
        raise ConfigurationError(
            f"{model.name} cannot be made without values, and a new visitor has none: give every "
            f"field a default that fits it ({type(error).__name__})"
        ) from error
    if shared := shared_field(first, second):
        raise ConfigurationError(
            f"the default of {model.name}.{shared} is one object for all sessions, and can be "
            "changed in place: give a default_factory that makes a new one each time"
        )
    return model


def _made(kind: Any) -> Model:
    if hasattr(kind, "model_validate"):
        return PydanticModel(kind)
    if hasattr(kind, "__required_keys__"):  # of typing's or typing_extensions' TypedDict
        return DictModel(kind)
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or _is_struct(kind)):
        return FieldModel(kind)
    raise ConfigurationError(
        f"data={kind!r} is no dataclass, msgspec.Struct, TypedDict or pydantic model"
    )


class FieldModel:
    """A dataclass or a `msgspec.Struct`."""

    def __init__(self, kind: Any) -> None:
        self.name: str = kind.__name__
        self._kind = kind
        hints = typing.get_type_hints(kind, include_extras=True)
        self._types = {name: _declared(hints[name]) for name in self._names()}
        self.fields = frozenset(self._types)

    def build(self, values: Mapping[str, Any]) -> Built:
        fitting: Plain = {}
        misfits = {}
        for name in self.fields & values.keys():
            try:
                fitting[name] = msgspec.convert(values[name], self._types[name], str_keys=True)
            except Exception as error:  # validation of the model's own may raise anything
                misfits[name] = _expected(error)
        try:
            return Built(self._kind(**fitting), misfits)
        except Exception:
            if not fitting:
                raise  # the defaults themselves are wrong: found when the middleware is made
            return Built(self._kind(), misfits, whole=True)

    def dump(self, data: Any) -> Plain:
        return {name: _plain(name, value) for name, value in self._items(data)}

    def _names(self) -> list[str]:
        if dataclasses.is_dataclass(self._kind):
            return [field.name for field in dataclasses.fields(self._kind) if field.init]
        return list(self._kind.__struct_fields__)

    def _items(self, data: Any) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(data, name)) for name in self._types)


class DictModel(FieldModel):
    """A TypedDict; a key that nothing was stored under is absent."""

    def __init__(self, kind: Any) -> None:
        if kind.__required_keys__:
            raise ConfigurationError(
                f"a new visitor has no {min(kind.__required_keys__)!r} yet: make {kind.__name__} "
                "total=False, so that type checkers know"
            )
        super().__init__(kind)

    def _names(self) -> list[str]:
        return list(self._kind.__optional_keys__)

    def _items(self, data: Any) -> Iterator[tuple[str, Any]]:
        strange = next((key for key in data if key not in self.fields), None)
        if strange is not None:
            raise UnstorableValue(strange, f"{self.name} has no such key", takes="")
        return iter(data.items())


class PydanticModel:
    """A pydantic model; its validators run, and its serializers."""

    def __init__(self, kind: Any) -> None:
        self.name: str = kind.__name__
        self._kind = kind
        for name, field in kind.model_fields.items():
            if field.alias or field.validation_alias:
                raise ConfigurationError(
                    f"{self.name}.{name} has an alias, and a session's keys are the fields' names"
                )
        self.fields = frozenset(kind.model_fields)

    def build(self, values: Mapping[str, Any]) -> Built:
        given = {name: values[name] for name in self.fields & values.keys()}
        misfits: dict[str, str] = {}
        while True:
            try:
                return Built(self._kind.model_validate(given), misfits)
            except Exception as error:
                if not given:
                    raise
                found = {name: why for name, why in _errors_of(error) if name in given}
                misfits |= found
                if not found:
                    return Built(self._kind(), misfits, whole=True)
                given = {name: value for name, value in given.items() if name not in found}

    def dump(self, data: Any) -> Plain:
        dumped = data.model_dump(include=self.fields, by_alias=False, warnings=False)
        return {name: _plain(name, value) for name, value in dumped.items()}


def _is_struct(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct)


def _errors_of(error: Exception) -> Iterator[tuple[str, str]]:
    """Yield the fields that a pydantic model refused, and why: never what they held."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return
    for each in errors(include_input=False, include_context=False, include_url=False):
        if each["loc"]:
            yield str(each["loc"][0]), each["type"]


def _declared(hint: Any) -> Any:
    """Return a field's type without what a TypedDict says of its key."""
    if get_origin(hint) in (typing.Required, typing.NotRequired):
        return get_args(hint)[0]
    return hint


def _plain(name: str, value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, builtin_types=(bytes, datetime), str_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableValue(name, f"it holds a value that cannot be plain ({error})") from error


def _expected(error: Exception) -> str:
    """Return what a validator expected, and where, without what it got."""
    if not isinstance(error, msgspec.ValidationError) or error.__cause__:
        return type(error.__cause__ or error).__name__
    message = str(error)
    return message if message.startswith("Expected") else "another value"
