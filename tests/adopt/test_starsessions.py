"""Sessions of starsessions."""

import json
from typing import Any

import pytest

from coatcheck import adopt
from tests.adopt.formats import VECTORS, Records, read, reason

VECTOR, SIGNED = VECTORS["starsessions/redis"], VECTORS["starsessions/cookie"]
KEY = VECTOR["store"][0]["key"]


def reader_of(metadata: Any) -> adopt.Starsessions:
    """Return a reader whose server has one record, with that metadata."""
    return adopt.Starsessions(Records({KEY: json.dumps({"a": 1, **metadata}).encode()}))


def test_a_session_in_use_may_be_older_than_its_lifetime() -> None:
    """With `rolling=True` a visit renews the time to live, and not `created`."""
    metadata = {"lifetime": 60, "created": 100.0, "last_access": 100.0}
    found = read(reader_of({"__metadata__": metadata}), VECTOR["cookies"], 1e9)
    assert (found.values, found.created) == ({"a": 1}, 100.0)


def test_metadata_may_be_missing() -> None:
    """The package itself then makes it."""
    assert read(reader_of({}), VECTOR["cookies"], 0.0).created is None


@pytest.mark.parametrize("created", ["x", True, 1e300, []])
def test_metadata_that_is_no_time_is_refused(created: Any) -> None:
    """And so is a session from the future."""
    assert reason(reader_of({"__metadata__": {"created": created}}), VECTOR["cookies"], 0.0)
    assert reason(reader_of({"__metadata__": []}), VECTOR["cookies"], 0.0) == "damaged"
    future = reader_of({"__metadata__": {"created": 1000.0}})
    assert reason(future, VECTOR["cookies"], 0.0) == "future"


def test_a_cookie_lives_as_its_session_says_or_shorter() -> None:
    """The lifetime counts from the signature; `max_age` may end it before."""
    secrets = SIGNED["secrets"]
    at = SIGNED["signed_at"]
    assert read(adopt.Starsessions(secrets=secrets), SIGNED["cookies"], at).expires == at + 3600
    shorter = adopt.Starsessions(secrets=secrets, max_age=60)
    assert read(shorter, SIGNED["cookies"], at).expires == at + 60


@pytest.mark.parametrize("id", ["x", "a/b" * 10, "\n" * 20])
def test_a_text_that_is_no_id_reaches_no_server(id: str) -> None:
    """A client may send anything."""
    client = Records({})
    assert reason(adopt.Starsessions(client), {"session": id}, 0.0) == "damaged"
    assert client.asked == []


def test_a_cookie_until_the_browser_closes_lives_for_360_days() -> None:
    """As the package itself allows."""
    itsdangerous = pytest.importorskip("itsdangerous")
    from base64 import b64encode

    signer = itsdangerous.TimestampSigner(SIGNED["secrets"][0])
    payload = b64encode(b'{"__metadata__": {"lifetime": 0}}')
    at = signer.get_timestamp()
    cookies = {"session": signer.sign(payload).decode()}
    reader = adopt.Starsessions(secrets=SIGNED["secrets"])
    assert read(reader, cookies, at).expires == pytest.approx(at + 360 * 24 * 3600, abs=5)
