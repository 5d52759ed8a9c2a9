"""
Records of other packages: in Redis, Memcached, a table, a folder.

    fetched(store, key)     the record and when it ends, or None
    deleted(store, key)     it is gone

A key is what the package itself uses. Each operation is written once, as a generator: it yields
what the client answers, which is awaited first where the client is. An error of a client may quote
a key, which another package keeps in clear: so its type alone is told.
"""

import hashlib
from collections.abc import Generator
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from coatcheck._cookie.hidden import Hidden
from coatcheck._session.values import CORRUPT
from coatcheck.errors import BackendError, ConfigurationError

T = TypeVar("T")

Answers = Generator[Any, Any, T]
"""Yields what a client answers, and is sent that, awaited where it must be."""


class Row(NamedTuple):
    """
    A record of another package.

    Attributes:
        data: Its bytes.
        expires: When it ends, as a Unix time; None: nothing tells.
        left: Seconds that it has left; None: nothing tells.
    """

    data: bytes
    expires: float | None = None
    left: float | None = None

    def ends(self, now: float) -> float | None:
        """Return when it ends, as a Unix time; None: nothing tells."""
        return self.expires if self.left is None else now + self.left

    def __repr__(self) -> str:
        return "<Row>"


class Columns(NamedTuple):
    """The columns of a package's table."""

    key: str
    data: str
    expires: str


class Store(Protocol):
    """The records of a package."""

    server: str

    @property
    def is_awaited(self) -> bool:
        """Whether what the client answers is to be awaited."""

    def fetch(self, key: str, /) -> Answers[Row | None]:
        """Return the record under a key, or None."""

    def delete(self, key: str, /) -> Answers[None]:
        """Remove what is under a key."""


def store_of(client: Any, *, table: str = "", columns: Columns | None = None) -> Store:
    """
    Return the records that a client leads to.

    Args:
        client: Of Redis or Valkey, of Memcached, an SQLAlchemy engine, or a Path.
        table: The package's, if it has one.
        columns: Of that table.

    Raises:
        ConfigurationError: It is no such client, or one that decodes what it reads.
    """
    if hasattr(client, "execute_command"):
        return Redis(client)
    if hasattr(client, "dialect") and columns:
        from coatcheck.adopt.sql_rows import SqlRows

        return SqlRows(client, table, columns)
    if isinstance(client, Path):
        return Folder(client)
    if callable(getattr(client, "get", None)) and callable(getattr(client, "delete", None)):
        return Memcached(client)
    raise ConfigurationError(
        "client must be a client of Redis or Memcached, or an SQLAlchemy engine where the package "
        f"has a table, got {type(client).__name__}"
    )


class Redis:
    """Records in Redis or Valkey: the time to live is the server's."""

    server = "Redis"

    def __init__(self, client: Any) -> None:
        self._client = client
        self.is_awaited = iscoroutinefunction(client.execute_command)
        encoder = getattr(client, "get_encoder", None)
        if encoder is not None and encoder().decode_responses:
            raise ConfigurationError(
                "this Redis client decodes what it reads, and records are bytes: give the reader a "
                "client of its own, made without decode_responses=True"
            )

    def fetch(self, key: str) -> Answers[Row | None]:
        data = yield self._client.execute_command("GET", key)
        if not data:
            return None
        left = yield self._client.execute_command("PTTL", key)
        return Row(data, left=left / 1000 if left >= 0 else None)

    def delete(self, key: str) -> Answers[None]:
        yield self._client.execute_command("DEL", key)


class Memcached:
    """Records in Memcached, which tells no deadline. An awaited client is one of emcache."""

    server = "Memcached"

    def __init__(self, client: Any) -> None:
        self._client = client
        self.is_awaited = iscoroutinefunction(client.get)

    def fetch(self, key: str) -> Answers[Row | None]:
        data = yield self._client.get(key.encode() if self.is_awaited else key)
        data = getattr(data, "value", data)
        data = data.encode() if isinstance(data, str) else data
        return Row(data) if isinstance(data, bytes) else None

    def delete(self, key: str) -> Answers[None]:
        yield self._client.delete(key.encode() if self.is_awaited else key)


class Folder:
    """
    Records of Litestar's `FileStore`: files that are named by a digest of the key.

    Source: https://github.com/litestar-org/litestar/blob/main/litestar/stores/file.py
    """

    server = "the folder"
    is_awaited = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, key: str) -> Answers[Row | None]:
        yield None
        try:
            kept = _kept_decoder.decode(self._path(key).read_bytes())
        except (FileNotFoundError, *CORRUPT):
            return None
        expires = kept.expires_at
        return Row(kept.data, expires if expires is None else expires.timestamp())

    def delete(self, key: str) -> Answers[None]:
        yield None
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.blake2s(key.encode()).hexdigest()


class _Kept(Hidden, msgspec.Struct):
    expires_at: datetime | None
    data: bytes


_kept_decoder = msgspec.msgpack.Decoder(_Kept)


def plain(answers: Answers[T], server: str) -> T:
    """
    Return what an operation returns whose client answers at once.

    Raises:
        BackendError: The client raised.
    """
    answer: Any = None
    try:
        while True:
            answer = answers.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result
    except Exception as error:
        raise _failed(server, error) from None


async def awaited(answers: Answers[T], server: str) -> T:
    """
    Return what an operation returns whose client is awaited.

    Raises:
        BackendError: The client raised.
    """
    answer: Any = None
    try:
        while True:
            answer = await answers.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result
    except Exception as error:
        raise _failed(server, error) from None


def as_time(found: object) -> float | None:
    """Return a database's time, which is in UTC if it has no zone, as a Unix time."""
    if not isinstance(found, datetime):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _failed(server: str, error: Exception) -> BackendError:
    return BackendError(f"{server} of the other package", "read", type(error).__name__)
