"""Where other packages keep their records."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from coatcheck import adopt
from coatcheck.adopt import stores
from coatcheck.errors import ConfigurationError
from tests.adopt.formats import Records

ID = "EdtGD3btgEGipDpckWPWBHXCaQdm6gvxE0bXlRUxCtc"
COOKIES = {"session": ID}


class Cache:
    """A client of Memcached, as pymemcache's are."""

    def __init__(self, value: Any) -> None:
        self.kept: dict[Any, Any] = {"session:" + ID: value}

    def get(self, key: str) -> Any:
        return self.kept.get(key)

    def delete(self, key: str) -> None:
        del self.kept[key]


class AsyncCache(Cache):
    """As emcache's are: keys are bytes, and what is read has a `value`."""

    async def get(self, key: bytes) -> Any:  # type: ignore[override]
        class Item:
            value = self.kept.get(key.decode())

        return Item()

    async def delete(self, key: bytes) -> None:  # type: ignore[override]
        del self.kept[key.decode()]


@pytest.mark.parametrize("value", [b'{"a": 1}', '{"a": 1}'])
def test_memcached_tells_no_deadline(value: Any) -> None:
    """A record that the client has made a text is read, too; anything else is none."""
    client = Cache(value)
    reader = adopt.FlaskSession(client)
    found = reader.read(COOKIES, 0.0)
    assert isinstance(found, adopt.Adopted)
    assert (found.values, found.expires) == ({"a": 1}, None)
    reader.forget(COOKIES)
    assert reader.read(COOKIES, 0.0) is None


def test_an_awaited_memcached_is_awaited() -> None:
    """With keys of bytes."""
    client = AsyncCache(b'{"a": 1}')
    reader = adopt.FlaskSession(client)

    async def used() -> Any:
        found = await reader.read(COOKIES, 0.0)  # type: ignore[misc]
        await reader.forget(COOKIES)
        return found

    assert asyncio.run(used()).values == {"a": 1}
    assert not client.kept


@pytest.mark.parametrize("client", [None, "redis://", object(), sa.create_engine("sqlite://")])
def test_what_is_no_client_is_told(client: Any) -> None:
    """When the reader is made; Express has no table."""
    with pytest.raises(ConfigurationError, match="client must be"):
        adopt.Express(client, secrets=["x"])


def test_a_client_that_decodes_is_refused() -> None:
    """Records are bytes."""
    redis = pytest.importorskip("redis")
    with pytest.raises(ConfigurationError, match="decodes what it reads"):
        adopt.FlaskSession(redis.Redis(decode_responses=True))
    assert adopt.FlaskSession(redis.asyncio.Redis()).is_awaited
    assert not adopt.FlaskSession(redis.Redis()).is_awaited


def test_a_record_without_a_time_to_live_has_no_end() -> None:
    """Redis answers -1."""
    reader = adopt.FlaskSession(Records({"session:" + ID: b"{}"}, ttl=None))
    found = reader.read(COOKIES, 0.0)
    assert isinstance(found, adopt.Adopted)
    assert found.expires is None


def test_a_databases_time_without_a_zone_is_in_utc() -> None:
    """As Django and Flask-Session write it."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert stores.as_time(at.replace(tzinfo=None)) == at.timestamp()
    assert stores.as_time(at.astimezone(timezone(timedelta(hours=2)))) == at.timestamp()
    assert stores.as_time(None) is None
