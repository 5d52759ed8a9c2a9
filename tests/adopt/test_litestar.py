"""Sessions of Litestar."""

import base64
from pathlib import Path

import pytest

from coatcheck import adopt
from coatcheck.errors import ConfigurationError
from tests.adopt.formats import PLAIN, VECTORS, Records, read, reason, secrets_of

VECTOR, FILE = VECTORS["litestar/cookie"], VECTORS["litestar/file"]
VALUE = VECTOR["cookies"]["session"].strip('"')
READER = adopt.Litestar(secrets=secrets_of(VECTOR))


def test_the_parts_of_a_long_cookie_are_joined_by_number() -> None:
    """session-2 comes before session-10."""
    cookies = {f"session-{at}": f'"{VALUE[at * 20 : at * 20 + 20]}"' for at in range(11)}
    cookies["session-11"] = VALUE[220:]
    shuffled = {name: cookies[name] for name in sorted(cookies)}
    assert read(READER, shuffled, VECTOR["now"]).values == PLAIN
    assert READER.names(["x", "session-x", "session-1000", *shuffled]) == list(cookies)


def test_an_end_later_than_the_maximum_age_is_refused() -> None:
    """It was made in the future."""
    reader = adopt.Litestar(secrets=secrets_of(VECTOR), max_age=1209600)
    assert read(reader, VECTOR["cookies"], VECTOR["now"]).expires == VECTOR["expires_at"]
    assert reason(reader, VECTOR["cookies"], VECTOR["now"] - 1000) == "future"


@pytest.mark.parametrize("value", ["", "AAAA", base64.b64encode(b"x" * 40).decode()])
def test_a_cookie_without_its_end_is_refused(value: str) -> None:
    """The end is part of what was sealed."""
    assert reason(READER, {"session": value}, VECTOR["now"]) == "damaged"


def test_another_end_is_refused() -> None:
    """It is authenticated."""
    data = base64.b64decode(VALUE).replace(b"1765209600", b"1999999999")
    cookies = {"session": base64.b64encode(data).decode()}
    assert reason(READER, cookies, VECTOR["now"]) == "seal"
    short = base64.b64encode(b'xadditional_authenticated_data={"expires_at":1}').decode()
    assert reason(READER, {"session": short}, VECTOR["now"]) == "seal"


def test_a_secret_has_the_length_of_a_key() -> None:
    """Of AES."""
    with pytest.raises(ConfigurationError, match="16, 24 or 32 bytes"):
        adopt.Litestar(secrets=["short"])


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    """Its path is made of a digest, never of the cookie; taking it deletes it."""
    path = tmp_path / FILE["store"][0]["key"]
    path.write_bytes(base64.b64decode(FILE["store"][0]["value_base64"]))
    reader = adopt.Litestar(tmp_path)
    assert reason(reader, FILE["cookies"], FILE["expires_at"]) == "expired"
    path.write_bytes(path.read_bytes()[:-9])
    assert reason(reader, FILE["cookies"], FILE["now"]) == "gone"
    reader.forget(FILE["cookies"])
    assert not path.exists()
    assert reason(reader, {"session": "../../etc/passwd"}, 0.0) == "damaged"


def test_a_part_is_no_id() -> None:
    """On a server there is one cookie."""
    assert adopt.Litestar(Records({})).names(["session", "session-0"]) == ["session"]
