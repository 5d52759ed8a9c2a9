"""The id of a session."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck._cookie.base64url import pack_base64url
from coatcheck._session.ids import (
    ID_BYTES,
    is_id,
    key_of,
    names_of,
    new_csrf,
    new_handle,
    new_id,
    open_id,
    seal_id,
    tag_of,
)
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
    assert names_of(text) is None


def test_a_cookie_session_keeps_its_id() -> None:
    """The value that carries a session begins with the id, as text and as bytes."""
    storage = CookieStorage()
    for _ in range(100):
        session = storage.read(None)
        session["a"] = 1
        value = storage.save(session)
        assert value
        assert storage.read(value).id == session.id == value[:40]


def test_a_handle_is_no_id() -> None:
    """It may be shown, so nothing takes it for a credential; no two are alike."""
    handles = {new_handle() for _ in range(1000)}
    assert len(handles) == 1000
    assert not any(map(is_id, handles))


def test_a_csrf_value_is_random() -> None:
    """16 bytes, for the tokens of one session."""
    assert len({new_csrf() for _ in range(1000)}) == 1000
    assert len(new_csrf()) == 16


ids = st.binary(min_size=ID_BYTES, max_size=ID_BYTES).map(pack_base64url)


@given(id=ids, prefix=st.text(alphabet="abc:_-"))
def test_a_key_is_the_digest_of_an_id(id: str, prefix: str) -> None:
    """A backend sees the prefix and the SHA-256; a tag is the digest's first 8 bytes."""
    digest = hashlib.sha256(id.encode())
    assert key_of(id, prefix) == prefix + digest.hexdigest()
    assert tag_of(key_of(id, prefix)) == digest.digest()[:8]


@given(id=ids, under=ids, purpose=st.text())
def test_a_sealed_id_opens_with_what_sealed_it(id: str, under: str, purpose: str) -> None:
    """The request that knows the old id and the purpose gets the new id."""
    sealed = seal_id(id, under=under, purpose=purpose)
    assert open_id(sealed, under=under, purpose=purpose) == id
    assert len(sealed) == ID_BYTES


@given(id=ids, under=ids, other=ids, purpose=st.text(), another=st.text())
def test_a_sealed_id_opens_with_nothing_else(
    id: str, under: str, other: str, purpose: str, another: str
) -> None:
    """With another id or another purpose it opens as an id that was never issued."""
    sealed = seal_id(id, under=under, purpose=purpose)
    for found in (
        open_id(sealed, under=other, purpose=purpose) if other != under else "",
        open_id(sealed, under=under, purpose=another) if another != purpose else "",
    ):
        assert found != id
        assert not found or is_id(found)


def test_a_seal_without_its_key_is_noise() -> None:
    """Who reads the database learns nothing of the new id: each old id gives another text."""
    id = new_id()
    assert len({seal_id(id, under=new_id(), purpose="rotate") for _ in range(100)}) == 100


@given(sealed=st.binary(max_size=64), under=st.text(), purpose=st.text())
def test_no_sealed_bytes_raise(sealed: bytes, under: str, purpose: str) -> None:
    """A damaged marker leads nowhere."""
    assert isinstance(open_id(sealed, under=under, purpose=purpose), str)
