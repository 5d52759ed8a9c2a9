"""
The current version of a session's values, and the upgrades of older sessions.

    coatcheck.session(cookie, storage, data=Schema(Visit, version=2, upgrade=upgrade))

    {"cart": [1, 2], "_schema": 2}      the version stands among the values; without it, it is 1

An upgrade is a step of the log: on what another request has upgraded meanwhile, it does nothing. A
record of a newer version is read as it is.

Pure: no clock, no storage.
"""

import logging
from collections.abc import Callable
from typing import Any, Generic

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._model.models import Built, Plain, model_of
from coatcheck._session.record import Contents
from coatcheck._session.session import Data
from coatcheck._session.values import decode, encode
from coatcheck.errors import ConfigurationError

MARK = "_schema"
"""The key under which a session holds the version of its schema, from 2 on."""

_logger = logging.getLogger("coatcheck")


class Schema(Generic[Data]):
    """
    A model, its version, and how to bring older sessions to it.

    Args:
        model: A dataclass, `msgspec.Struct`, TypedDict or pydantic model; each field has a default.
        version: Counts up, from 1, whenever what was stored under a key changes its meaning.
        upgrade: Gets all that a session of an older version holds, other keys too, and that
            version; returns all that it is to hold. It may be called more than once for a session.

    Raises:
        ConfigurationError: The model cannot describe a session, or there is a version above 1
            without an upgrade, or an upgrade without one.
    """

    def __init__(
        self,
        model: type[Data],
        *,
        version: int = 1,
        upgrade: Callable[[Plain, int], Plain] | None = None,
    ) -> None:
        self.model = model_of(model)
        if MARK in self.model.fields:
            raise ConfigurationError(f"the key {MARK!r} holds the version: rename that field")
        if version < 1 or (version > 1) is (upgrade is None):
            raise ConfigurationError("version and upgrade go together: version=2, upgrade=...")
        self.version = version
        self.upgrade = upgrade

    def build(self, contents: Contents) -> Built:
        """Return the object that shows *contents*."""
        return self.model.build(_plain(contents, self.model.fields & contents.values.keys()))

    def warn(self, built: Built) -> None:
        """Log what of a session does not fit, by name."""
        if built.misfits or built.whole:
            what = ", ".join(f"{name} ({why})" for name, why in sorted(built.misfits.items()))
            _logger.warning(
                "a session does not fit %s, and these fields stand at their defaults: %s",
                self.model.name,
                "all, as they do not fit together" if built.whole else what,
            )

    def bring(self, contents: Contents) -> None:
        """Bring contents of an older version up to this one; where that fails, they stay."""
        version = version_of(contents)
        if self.upgrade is None or version >= self.version:
            return
        values = _plain(contents, contents.values.keys() - {MARK})
        try:
            newer = self.upgrade(values, version) if values else {}
            contents.values = {key: encode(key, value) for key, value in newer.items()}
        except Exception as error:  # the application's function may raise any error
            _logger.warning(
                "the upgrade of a session from version %d failed (%s): what does not fit is at "
                "its default",
                version,
                type(error).__name__,
            )
        contents.values[MARK] = encode(MARK, self.version)


def schema_of(data: Any) -> Schema[Any] | None:
    """
    Return what the option *data* says: a model, a schema or None.

    Raises:
        ConfigurationError: See `Schema`.
    """
    return data if data is None or isinstance(data, Schema) else Schema(data)


def version_of(contents: Contents) -> int:
    """Return the version of the schema by which contents were written."""
    try:
        version = decode(contents.values[MARK])
    except KeyError:
        return 1
    return version if type(version) is int else 1


class Upgrade(Hidden, msgspec.Struct, frozen=True):
    """Bring a session to a schema's version, if it is not there yet."""

    schema: Schema[Any]
    name = "an upgrade"

    def replay(self, contents: Contents) -> bool:
        self.schema.bring(contents)
        return True


class Unmark(Hidden, msgspec.Struct, frozen=True):
    """Take the version away where it stands alone."""

    name = "an upgrade"

    def replay(self, contents: Contents) -> bool:
        if contents.values.keys() == {MARK}:
            del contents.values[MARK]
        return True


def _plain(contents: Contents, keys: Any) -> Plain:
    """Return the values under *keys*; a damaged one counts as absent."""
    found = {}
    for key in keys:
        try:
            found[key] = decode(contents.values[key])
        except KeyError:
            continue
    return found
