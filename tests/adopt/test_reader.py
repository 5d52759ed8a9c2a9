"""Readers of the sessions of other packages: what they read, and what they refuse."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import adopt
from coatcheck._cookie.cookie import Cookie
from coatcheck.adopt.reader import Reader
from coatcheck.errors import BackendError, ConfigurationError
from tests.adopt.formats import (
    PLAIN,
    VECTORS,
    AsyncRecords,
    Records,
    client_of,
    known,
    look,
    read,
    reader_of,
    reason,
    records_of,
)

SECRET = "coatcheck-test-secret-0123456789abcdef"
STARLETTE, EXPRESS = VECTORS["starlette"], VECTORS["express/max_age"]
ENDING = [name for name, vector in VECTORS.items() if "max_age" in vector or "expires_at" in vector]
SIGNED = [name for name, vector in VECTORS.items() if "signed_at" in vector]
IN_REDIS = [
    name for name, vector in VECTORS.items() if vector.get("store", [{}])[0].get("where") == "redis"
]
LONG = 10 * 365 * 24 * 3600


@pytest.mark.parametrize("name", VECTORS)
def test_every_session_of_the_real_packages_is_read(name: str, tmp_path: Path) -> None:
    """What a handler of the package sees, a handler of ours sees, less the package's own keys."""
    vector = VECTORS[name]
    reader = reader_of(vector, client_of(vector, tmp_path))
    found = read(reader, vector["cookies"], vector["now"])
    own = set() if name.startswith("django") else set(vector.get("kept_by_the_library", []))
    expected = {key: known(each) for key, each in vector["session"].items() if key not in own}
    assert found.values == expected
    assert found.flashes == ({"message": "hi"} if "_flashes" in own else {})
    assert found.created is None or found.created <= vector["now"]


@pytest.mark.parametrize("name", VECTORS)
def test_a_changed_cookie_leads_nowhere(name: str, tmp_path: Path) -> None:
    """Of each character changed or cut off, nothing is read, or what was verified is the same."""
    vector = VECTORS[name]
    reader = reader_of(vector, client_of(vector, tmp_path))
    genuine = read(reader, vector["cookies"], vector["now"]).digest
    for cookies in changed(vector["cookies"]):
        found = reader.read(cookies, vector["now"])
        assert found is None or found.digest == genuine  # type: ignore[union-attr]


def changed(cookies: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield the cookies with one character changed, cut off or added."""
    for name, value in cookies.items():
        for at in range(0, len(value), 1 + len(value) // 60):
            other = "B" if value[at] == "A" else "A"
            yield {**cookies, name: value[:at] + other + value[at + 1 :]}
            yield {**cookies, name: value[:at]}
        for end in ("=", "==", "A", ".", "%", "%41", '"', "\\075", "\x00", "é", "💥"):
            yield {**cookies, name: value + end}


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if "secrets" in vector])
def test_a_cookie_of_another_secret_is_refused(name: str, tmp_path: Path) -> None:
    """Only the secrets of the package verify."""
    vector = VECTORS[name]
    reader = reader_of(vector, client_of(vector, tmp_path), ["another-secret-0123456789abcdef!"])
    assert reason(reader, vector["cookies"], vector["now"]) == "seal"


@pytest.mark.parametrize("name", ["starlette", "flask/zlib", "express/max_age", "iron-session"])
def test_an_older_secret_verifies_too(name: str, tmp_path: Path) -> None:
    """The secrets of the package were rotated: the first is current, every one verifies."""
    vector = VECTORS[name]
    secrets: list[str | bytes] = ["a-newer-secret-0123456789abcdef!", SECRET.encode()]
    reader = reader_of(vector, client_of(vector, tmp_path), secrets)
    assert read(reader, vector["cookies"], vector["now"]).values == known(vector["session"])


@pytest.mark.parametrize("name", ENDING)
def test_a_cookie_whose_time_is_over_is_refused(name: str, tmp_path: Path) -> None:
    """The package would refuse it, too."""
    vector = VECTORS[name]
    reader = reader_of(vector, client_of(vector, tmp_path))
    assert reason(reader, vector["cookies"], vector["now"] + LONG) == "expired"


@pytest.mark.parametrize("name", SIGNED)
def test_a_cookie_from_the_future_is_refused(name: str, tmp_path: Path) -> None:
    """A clock may be a minute ahead, no more."""
    vector = VECTORS[name]
    reader = reader_of(vector, client_of(vector, tmp_path))
    assert reason(reader, vector["cookies"], vector["signed_at"] - 61) == "future"
    assert read(reader, vector["cookies"], vector["signed_at"] - 59)


@pytest.mark.parametrize("name", VECTORS)
def test_without_its_cookie_a_reader_finds_nothing_and_refuses_nothing(
    name: str, tmp_path: Path
) -> None:
    """A cookie of another name is another's."""
    vector = VECTORS[name]
    reader = reader_of(vector, client_of(vector, tmp_path))
    assert look(reader, {"another": "x", "": "y"}, vector["now"]) is None
    assert look(reader, {}, vector["now"]) is None


@pytest.mark.parametrize("name", IN_REDIS)
def test_a_record_that_is_gone_or_of_another_kind_is_refused(name: str) -> None:
    """Whatever lies under the key, nothing raises; a missing record tells the id's digest."""
    vector = VECTORS[name]
    genuine = read(reader_of(vector, client_of(vector)), vector["cookies"], vector["now"])
    reader = reader_of(vector, Records({}))
    gone = look(reader, vector["cookies"], vector["now"])
    assert gone is not None
    assert gone.digest == genuine.digest
    for record in WRONG:
        reader = reader_of(vector, Records(dict.fromkeys(records_of(vector), record)))
        assert reader.read(vector["cookies"], vector["now"]) is None


PICKLE_THAT_CALLS = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R."
WRONG = [
    b"x",
    b"[]",
    b'[["user_id", 1]]',
    b"null",
    b"\xff\xfe",
    b"{" * 100_000,
    b"[" * 100_000,
    b'{"user_id": ' + b"9" * 50 + b', "session": {"u": 99999999999999999999}, "created": 1}',
    b'{"u": "\\ud800", "session": {"u": "\\ud800"}, "created": 1}',
    PICKLE_THAT_CALLS,
    b"\x04\x08{\x06I",
    b'O:8:"stdClass":0:{}',
    b"\x81\xa1a\xc7\x00\x05",
]
"""Records that no package wrote, or that no session holds."""


@pytest.mark.parametrize("name", ["starlette", "litestar/cookie", "rails/sha256", "better_auth"])
def test_a_cookie_of_any_text_is_no_error(name: str) -> None:
    """What a client sends never raises."""
    vector = VECTORS[name]
    reader = reader_of(vector)

    @given(st.fixed_dictionaries({each: st.text(max_size=80) for each in vector["cookies"]}))
    def holds(cookies: dict[str, str]) -> None:
        assert reader.read(cookies, vector["now"]) is None

    holds()


@given(st.binary(max_size=60), st.sampled_from(["flask-session/msgpack", "django.cache"]))
def test_a_record_of_any_bytes_is_no_error(data: bytes, name: str) -> None:
    """A server may hold anything; a client may have written part of it."""
    vector = VECTORS[name]
    reader = reader_of(vector, Records(dict.fromkeys(records_of(vector), data)))
    look(reader, vector["cookies"], vector["now"])


def test_an_awaited_client_is_awaited() -> None:
    """The same search, and `read` returns what is to be awaited."""
    reader = adopt.Express(AsyncRecords(records_of(EXPRESS)), secrets=[SECRET])
    assert reader.is_awaited

    async def found() -> Any:
        await reader.look(EXPRESS["cookies"], EXPRESS["now"])  # type: ignore[misc]
        return await reader.read(EXPRESS["cookies"], EXPRESS["now"])  # type: ignore[misc]

    assert asyncio.run(found()).values == PLAIN


def test_a_reader_stops_at_its_date() -> None:
    """A date counts from its midnight in UTC."""
    reader = adopt.Starlette(secrets=[SECRET], until=date(2027, 3, 1))
    end = datetime(2027, 3, 1, tzinfo=UTC).timestamp()
    assert not reader.is_over(end - 1)
    assert reader.is_over(end)
    over = adopt.Starlette(secrets=[SECRET], until=datetime(2025, 1, 1, tzinfo=UTC))
    assert look(over, STARLETTE["cookies"], STARLETTE["now"]) is None


@pytest.mark.parametrize("until", [datetime(2027, 3, 1), "2027-03-01", 5])  # noqa: DTZ001
def test_a_date_that_is_none_is_told(until: Any) -> None:
    """A datetime without a time zone says nothing certain."""
    with pytest.raises(ConfigurationError, match="until must be a date"):
        adopt.Starlette(secrets=[SECRET], until=until)


@pytest.mark.parametrize("secrets", [SECRET, b"x", None, [], [""], [5]])
def test_secrets_are_a_list(secrets: Any) -> None:
    """One text in place of a list would be a list of letters."""
    with pytest.raises(ConfigurationError, match="secrets must be"):
        adopt.Starlette(secrets=secrets)


@pytest.mark.parametrize("max_age", [0, -1, True, "1"])
def test_a_maximum_age_is_seconds(max_age: Any) -> None:
    """Nothing else is an age."""
    with pytest.raises(ConfigurationError, match="max_age must be seconds"):
        adopt.Starlette(secrets=[SECRET], max_age=max_age)


def test_a_removal_has_the_path_and_domain_of_the_old_cookie() -> None:
    """A browser removes a cookie only under the attributes with which it was set."""
    reader = adopt.Starlette(secrets=[SECRET], name="old", path="/app", domain="example.com")
    ours = Cookie("__session", secrets=[SECRET])
    (line,) = reader.removals(["old"], but=ours)
    assert line.startswith("old=; Max-Age=0; ")
    assert "; Path=/app; HttpOnly" in line
    assert "; Domain=example.com" in line


def test_a_removal_does_not_take_our_cookie_away() -> None:
    """Under the same name, path and domain ours replaces theirs."""
    ours = Cookie("session", secrets=[SECRET])
    assert adopt.Starlette(secrets=[SECRET]).removals(["session"], but=ours) == []
    elsewhere = adopt.Starlette(secrets=[SECRET], path="/app")
    assert len(elsewhere.removals(["session"], but=ours)) == 1


def test_a_name_with_a_prefix_is_removed_as_browsers_demand() -> None:
    """They accept a "__Secure-" cookie, its removal too, with Secure alone."""
    reader = adopt.Starlette(secrets=[SECRET], name="__Secure-s")
    assert "Secure" in reader.removals(["__Secure-s"], but=Cookie("x", secrets=[SECRET]))[0]


def test_forgetting_deletes_the_record_and_reading_does_not() -> None:
    """Only `take=True` asks for it."""
    client = Records(records_of(EXPRESS))
    reader = adopt.Express(client, secrets=[SECRET])
    read(reader, EXPRESS["cookies"], EXPRESS["now"])
    assert client.records
    reader.forget(EXPRESS["cookies"])
    assert not client.records
    reader.forget({"connect.sid": "s%3Aforged"})
    assert adopt.Starlette(secrets=[SECRET]).forget(STARLETTE["cookies"]) is None


def test_forgetting_is_awaited_where_the_client_is() -> None:
    """As `read` is."""
    client = AsyncRecords(records_of(EXPRESS))
    reader = adopt.Express(client, secrets=[SECRET])
    asyncio.run(reader.forget(EXPRESS["cookies"]))
    assert not client.records


def test_a_server_that_fails_is_an_error_that_tells_no_key() -> None:
    """Another package's keys are ids in clear, and drivers quote them."""

    class Down(Records):
        def execute_command(self, command: str, key: str) -> Any:  # noqa: ARG002
            raise OSError(f"no answer for {key}")

    reader = adopt.Express(Down({}), secrets=[SECRET])
    with pytest.raises(BackendError, match="Redis of the other package failed to read") as failed:
        reader.read(EXPRESS["cookies"], EXPRESS["now"])
    assert "7V6y" not in str(failed.value)
    assert failed.value.__cause__ is None


def test_an_awaited_server_that_fails_is_the_same_error() -> None:
    """Whichever form the client has."""

    class Down(AsyncRecords):
        async def execute_command(self, command: str, key: str) -> Any:  # noqa: ARG002
            raise OSError(f"no answer for {key}")

    async def found() -> None:
        await adopt.Express(Down({}), secrets=[SECRET]).read(  # type: ignore[misc]
            EXPRESS["cookies"], EXPRESS["now"]
        )

    with pytest.raises(BackendError, match="OSError"):
        asyncio.run(found())


def test_a_repr_shows_the_name_alone() -> None:
    """No secret, and no value of what was found."""
    reader: Reader = adopt.Starlette(secrets=[SECRET])
    assert repr(reader) == "<adopt.Starlette 'session'>"
    assert repr(read(reader, STARLETTE["cookies"], STARLETTE["now"])) == "<Adopted>"
    assert not reader.waits


def test_an_empty_search_has_to_be_written() -> None:
    """The base reads no package."""
    with pytest.raises(NotImplementedError):
        Reader(name="x").search({}, 0.0)
