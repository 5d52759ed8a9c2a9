"""Rows of another package's table through an engine that is awaited."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from coatcheck import adopt

aio = pytest.importorskip("sqlalchemy.ext.asyncio")
pytest.importorskip("aiosqlite")

ID = "EdtGD3btgEGipDpckWPWBHXCaQdm6gvxE0bXlRUxCtc"


def test_an_awaited_engine_is_awaited(tmp_path: Path) -> None:
    """Found, taken, gone."""

    async def used() -> list[Any]:
        engine = aio.create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/db")
        async with engine.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE sessions (session_id, data, expiry)"))
            await connection.execute(
                sa.text("INSERT INTO sessions VALUES (:key, :data, NULL)"),
                {"key": f"session:{ID}", "data": b'{"a": 1}'},
            )
        reader = adopt.FlaskSession(engine)
        found = await reader.read({"session": ID}, 0.0)  # type: ignore[misc]
        await reader.forget({"session": ID})
        gone = await reader.read({"session": ID}, 0.0)  # type: ignore[misc]
        await engine.dispose()
        return [found, gone]

    found, gone = asyncio.run(used())
    assert (found.values, found.expires) == ({"a": 1}, None)
    assert gone is None
