"""
Defaults of a model that two sessions would share.

    class Visit:
        prefs: Prefs = Prefs()      one object, which a visitor would change for all others

So a model is made twice when the middleware is made, and what may change in place has to be made
again each time.

Pure: objects in, a name out.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import msgspec


def shared_field(first: object, second: object) -> str | None:
    """Return a field in which two objects of a model hold one thing that may change, or None."""
    others = dict(_parts(second))
    pairs = ((name, part, others.get(name)) for name, part in _parts(first))
    return next((str(name) for name, one, other in pairs if _is_shared(one, other)), None)


def _is_shared(first: object, second: object) -> bool:
    if first is second:
        return _may_change(first)
    return type(first) is type(second) and shared_field(first, second) is not None


def _may_change(value: object) -> bool:
    if isinstance(value, list | dict | set | bytearray):
        return True
    parts = list(_parts(value))
    fixed = isinstance(value, tuple | frozenset) or _is_frozen(value)
    return bool(parts) and (not fixed or any(_may_change(part) for _, part in parts))


def _is_frozen(value: Any) -> bool:
    if isinstance(value, msgspec.Struct):
        return value.__struct_config__.frozen
    parameters = getattr(value, "__dataclass_params__", None)
    if parameters is not None:
        return bool(parameters.frozen)
    return bool(getattr(value, "model_config", {}).get("frozen"))


def _parts(value: Any) -> Iterable[tuple[object, object]]:
    """Return what an object is made of, by name or place."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple | set | frozenset):
        return enumerate(value)
    if isinstance(value, msgspec.Struct):
        names: Iterable[str] = value.__struct_fields__
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        names = getattr(type(value), "model_fields", ())
    return [(name, getattr(value, name)) for name in names]
