"""Sessions of Django's engines."""

import json
import pickle
import zlib
from base64 import urlsafe_b64encode

import pytest

from coatcheck import adopt
from tests.adopt.formats import VECTORS, Records, client_of, django_table, read, reason, records_of

SECRET = "coatcheck-test-secret-0123456789abcdef"
TABLE, CACHE = VECTORS["django.db"], VECTORS["django.cache"]
KEY = CACHE["cookies"]["sessionid"]


def test_the_keys_of_the_login_stay() -> None:
    """Django's `get_user()` compares `_auth_user_hash`."""
    found = read(adopt.DjangoCache(client_of(CACHE)), CACHE["cookies"], CACHE["now"])
    assert found.values["_auth_user_hash"] == "0" * 64


def test_the_engines_of_one_session_have_one_digest() -> None:
    """A session of cached_db is in the cache and in the table: its id is the same."""
    records = {f":1:django.contrib.sessions.cached_db{KEY}": pickle.dumps({"a": 1})}
    cached = read(adopt.DjangoCache(Records(records)), CACHE["cookies"], 0.0)
    row = {KEY: records_of(TABLE)[TABLE["cookies"]["sessionid"]]}
    table = adopt.DjangoTable(django_table(row, TABLE["expires_at"]), secrets=[SECRET])
    assert read(table, CACHE["cookies"], TABLE["now"]).digest == cached.digest


def test_taking_a_session_takes_it_from_both_engines_names() -> None:
    """The reader does not know which engine wrote it."""
    names = (f":1:django.contrib.sessions.{engine}{KEY}" for engine in ("cache", "cached_db"))
    client = Records(dict.fromkeys(names, b"\x80\x04}."))
    adopt.DjangoCache(client).forget(CACHE["cookies"])
    assert not client.records


def test_the_salt_of_one_engine_opens_nothing_of_another() -> None:
    """The table signs with another salt than the cookie, and neither is any other signature."""
    value = records_of(TABLE)[TABLE["cookies"]["sessionid"]].decode()
    assert reason(adopt.Django(secrets=[SECRET]), {"sessionid": value}, TABLE["now"]) == "seal"
    signed = VECTORS["django.signed_cookies/plain"]
    row = {KEY: signed["cookies"]["sessionid"].encode()}
    table = adopt.DjangoTable(django_table(row, TABLE["expires_at"]), secrets=[SECRET])
    assert reason(table, CACHE["cookies"], TABLE["now"]) == "seal"


def test_a_row_that_expired_is_refused() -> None:
    """`expire_date` is the deadline."""
    engine = django_table(records_of(TABLE), TABLE["now"] - 1)
    reader = adopt.DjangoTable(engine, secrets=[SECRET])
    assert reason(reader, TABLE["cookies"], TABLE["now"]) == "expired"
    assert reason(reader, {"sessionid": "another-key"}, TABLE["now"]) == "damaged"
    assert reason(reader, {"sessionid": "anotherkey"}, TABLE["now"]) == "gone"
    reader.forget(TABLE["cookies"])
    assert reason(reader, TABLE["cookies"], TABLE["now"]) == "gone"


def test_messages_in_the_session_become_flashes() -> None:
    """By the name of their level; what is no message is none."""
    messages = [["__json_message", 0, 25, "Saved.", "x"], ["__json_message", 0, 7, "Hi."], [1], 5]
    record = pickle.dumps({"_messages": json.dumps(messages)})
    reader = adopt.DjangoCache(Records({f":1:django.contrib.sessions.cache{KEY}": record}))
    found = read(reader, CACHE["cookies"], 0.0)
    assert found.flashes == {"success": "Saved.", "info": "Hi."}
    assert found.values == {}
    for wrong in ("{", "[" * 100_000, 5):
        reader = adopt.DjangoCache(
            Records({f":1:django.contrib.sessions.cache{KEY}": pickle.dumps({"_messages": wrong})})
        )
        assert read(reader, CACHE["cookies"], 0.0).flashes == {}


def test_a_bomb_that_the_secret_signed_is_refused() -> None:
    """And so is a pickle in a cookie, which old versions of Django wrote."""
    signing = pytest.importorskip("django.core.signing")
    salt = "django.contrib.sessions.backends.signed_cookies"
    signer = signing.TimestampSigner(key=SECRET, salt=salt, fallback_keys=[])
    bomb = urlsafe_b64encode(zlib.compress(b" " * 20_000_000, 9)).rstrip(b"=").decode()
    pickled = urlsafe_b64encode(pickle.dumps({"a": 1})).rstrip(b"=").decode()
    reader = adopt.Django(secrets=[SECRET])
    assert reason(reader, {"sessionid": signer.sign("." + bomb)}, 0.0) == "too_large"
    assert reason(reader, {"sessionid": signer.sign(pickled)}, 0.0) == "damaged"
