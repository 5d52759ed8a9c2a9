"""Records of Flask-Session, however they are serialized."""

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from coatcheck import adopt
from tests.adopt.formats import VECTORS, Records, look, read, reason
from tests.engines import engine_in_memory

ID = "EdtGD3btgEGipDpckWPWBHXCaQdm6gvxE0bXlRUxCtc"
VALUES = {"_permanent": True, "user_id": 42, "_flashes": [("message", "hi"), ("message", "ho")]}
COOKIES = {"session": ID}


@pytest.mark.parametrize(
    "data",
    [
        *(pickle.dumps(VALUES, protocol) for protocol in range(6)),
        json.dumps(VALUES).encode(),
        msgspec.msgpack.encode(VALUES),
    ],
)
def test_how_a_record_is_serialized_is_seen_from_it(data: bytes) -> None:
    """0.5 and 0.6 wrote pickles, later versions MessagePack or JSON."""
    found = read(adopt.FlaskSession(Records({"session:" + ID: data})), COOKIES, 100.0)
    assert found.values == {"user_id": 42}
    assert found.flashes == {"message": ["hi", "ho"]}
    assert found.expires == 3700.0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (pickle.dumps({"a": datetime(2026, 1, 1, tzinfo=UTC)}), "unsupported"),
        (msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(5, b"x")}), "unsupported"),
        (msgspec.msgpack.encode([1]), "damaged"),
        (b"\xc1", "damaged"),
        (pickle.dumps([]), "damaged"),
    ],
)
def test_what_is_no_dict_of_plain_data_is_refused(data: bytes, why: str) -> None:
    """A pickle that names something is never loaded."""
    reader = adopt.FlaskSession(Records({"session:" + ID: data}))
    assert reason(reader, COOKIES, 0.0) == why


def test_an_empty_map_is_an_empty_session() -> None:
    """MessagePack's first byte for it is that of a pickle."""
    assert read(adopt.FlaskSession(Records({"session:" + ID: b"\x80"})), COOKIES, 0.0).values == {}


def test_with_a_signer_an_unsigned_id_is_refused() -> None:
    """`SESSION_USE_SIGNER`; a digest is of the id, signed or not."""
    vector = VECTORS["flask-session/msgpack_signed"]
    signed, _, _ = vector["cookies"]["session"].rpartition(".")
    client = Records({"session:" + signed: b"\x80"})
    reader = adopt.FlaskSession(client, secrets=vector["secrets"])
    assert reason(reader, {"session": signed}, 0.0) == "seal"
    found = read(reader, vector["cookies"], 0.0)
    assert read(adopt.FlaskSession(client), {"session": signed}, 0.0).digest == found.digest


@pytest.mark.parametrize("id", ["", "short", "x" * 300, "a b" * 10, "../" * 10, "é" * 20])
def test_a_text_that_is_no_id_reaches_no_server(id: str) -> None:
    """A client may send anything."""
    client = Records({})
    assert look(adopt.FlaskSession(client), {"session": id}, 0.0)
    assert client.asked == []


def test_a_row_of_its_table_is_read_and_taken() -> None:
    """SESSION_TYPE "sqlalchemy": the key is in session_id, the end in expiry, in UTC."""
    engine = engine_in_memory()
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE sessions (id INTEGER PRIMARY KEY, session_id VARCHAR(255), "
                "data BLOB, expiry DATETIME)"
            )
        )
        row: dict[str, Any] = {"key": "session:" + ID, "data": msgspec.msgpack.encode({"a": 1})}
        connection.execute(
            sa.text("INSERT INTO sessions VALUES (1, :key, :data, '2026-12-01 00:00:00')"), row
        )
    reader = adopt.FlaskSession(engine)
    found = read(reader, COOKIES, 0.0)
    assert (found.values, found.expires) == (
        {"a": 1},
        datetime(2026, 12, 1, tzinfo=UTC).timestamp(),
    )
    reader.forget(COOKIES)
    assert reason(reader, COOKIES, 0.0) == "gone"
