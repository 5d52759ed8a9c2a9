"""SHA-256 by CPython itself is SHA-256."""

import hashlib

import pytest

from coatcheck._cookie import sha256 as digests


@pytest.mark.parametrize("length", [0, 1, 43, 55, 56, 64, 1000])
def test_both_implementations_agree(length: int) -> None:
    """Whichever is asked: a session written by one is found by the other."""
    text = b"x" * length
    assert digests.sha256(text).digest() == hashlib.sha256(text).digest()


def test_this_python_has_its_own() -> None:
    """Or a request that waited for a server would pay for OpenSSL's."""
    assert digests.sha256 is not hashlib.sha256


def test_a_python_without_its_own_asks_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules are CPython's own business, and may go."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(digests, "import_module", missing)
    assert digests._own() is hashlib.sha256
