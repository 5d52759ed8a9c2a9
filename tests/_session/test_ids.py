"""The id of a session."""

import string

import pytest

from coatcheck._session.ids import is_id, new_id
from coatcheck.storage import CookieStorage


def test_an_id_has_240_random_bits() -> None:
    """40 characters of base64url, and no two alike."""
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {len(made) for made in ids} == {40}
    assert set("".join(ids)) == set(string.ascii_letters + string.digits + "-_")
    assert all(map(is_id, ids))


@pytest.mark.parametrize(
    "text",
    ["", "a", "a" * 39, "a" * 41, "a" * 100_000, "../" * 13 + "a", "a" * 39 + "\0", "a" * 39 + "\n",
     "%2e%2e" * 6 + "aaaa", "C:" + "a" * 38, "é" * 40, " " + "a" * 39],
)  # fmt: skip
def test_what_does_not_look_like_an_id_is_none(text: str) -> None:
    """Short, long, or with a character that an id never has: no backend is asked."""
    assert not is_id(text)


def test_a_cookie_session_keeps_its_id() -> None:
    """The value that carries a session begins with the id, as text and as bytes."""
    storage = CookieStorage()
    for _ in range(100):
        session = storage.read(None)
        session["a"] = 1
        value = storage.save(session)
        assert value
        assert storage.read(value).id == session.id == value[:40]
