"""Sessions of Node's express-session and cookie-session."""

from base64 import b64encode

import pytest

from coatcheck import adopt
from tests.adopt.formats import VECTORS, Records, client_of, read, reason

VECTOR, SIGNED = VECTORS["express/max_age"], VECTORS["cookie-session"]
VALUE = VECTOR["cookies"]["connect.sid"]
SECRETS = VECTOR["secrets"]


def test_a_past_expires_in_a_record_ends_nothing() -> None:
    """A visit that changes nothing renews the time to live alone."""
    (key,) = client_of(VECTOR).records
    record = b'{"cookie":{"expires":"2001-01-01T00:00:00.000Z"},"a":1,"b":{"cookie":2}}'
    found = read(adopt.Express(Records({key: record}), secrets=SECRETS), VECTOR["cookies"], 0.0)
    assert found.values == {"a": 1, "b": {"cookie": 2}}


@pytest.mark.parametrize(
    "value", [VALUE.removeprefix("s%3A"), "j" + VALUE[1:], VALUE[:-1], "s%3A.", "s%3A", ""]
)
def test_a_cookie_that_is_not_signed_is_refused(value: str) -> None:
    """Without "s:" an id is whatever a client wrote."""
    client = Records({})
    reader = adopt.Express(client, secrets=SECRETS)
    assert reason(reader, {"connect.sid": value}, 0.0) == "seal"
    assert client.asked == []


def test_a_badly_encoded_cookie_is_refused() -> None:
    """A percent sign stands before two digits."""
    reader = adopt.Express(Records({}), secrets=SECRETS)
    assert reason(reader, {"connect.sid": VALUE + "%"}, 0.0) == "damaged"


def test_another_spelling_has_the_same_digest() -> None:
    """What was verified is the id."""
    reader = adopt.Express(client_of(VECTOR), secrets=SECRETS)
    found = read(reader, VECTOR["cookies"], VECTOR["now"])
    other = {"connect.sid": VALUE.replace("7V6", "%37V6")}
    assert read(reader, other, VECTOR["now"]).digest == found.digest


def test_a_signed_id_that_no_package_makes_reaches_no_server() -> None:
    """An application may make ids of its own, of visible characters."""
    from coatcheck.adopt.express import _signature

    mac = _signature(SECRETS[0].encode(), "a b").decode().replace("+", "%2B")
    client = Records({})
    reader = adopt.Express(client, secrets=SECRETS)
    assert reason(reader, {"connect.sid": f"s%3Aa%20b.{mac}"}, 0.0) == "damaged"
    assert client.asked == []


def test_a_cookie_session_needs_its_signature() -> None:
    """Which covers the name, too; another name's signature is none."""
    reader = adopt.CookieSession(secrets=SIGNED["secrets"])
    value, mac = SIGNED["cookies"]["session"], SIGNED["cookies"]["session.sig"]
    assert reason(reader, {"session": value}, 0.0) == "seal"
    assert reason(reader, {"session": value, "session.sig": "A" * 27}, 0.0) in ("seal", "damaged")
    other = adopt.CookieSession(secrets=SIGNED["secrets"], name="other")
    assert reason(other, {"other": value, "other.sig": mac}, 0.0) == "seal"
    assert reader.names(["session.sig", "x", "session"]) == ["session.sig", "session"]
    assert reader.is_endless


def test_what_is_signed_but_is_no_object_is_refused() -> None:
    """The same keys sign other cookies of the application."""
    import hmac

    from coatcheck._cookie.base64url import pack_base64url

    value = b64encode(b"[1]").decode()
    mac = hmac.digest(SIGNED["secrets"][0].encode(), f"session={value}".encode(), "sha1")
    reader = adopt.CookieSession(secrets=SIGNED["secrets"])
    cookies = {"session": value, "session.sig": pack_base64url(mac)}
    assert reason(reader, cookies, 0.0) == "damaged"
