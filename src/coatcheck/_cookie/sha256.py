"""
SHA-256 for short texts, such as an id, by CPython's own implementation.

`hashlib` uses OpenSSL, which is the fastest for long texts. For each digest OpenSSL looks its
algorithm up in memory that nothing else uses. After a request has waited for a server, that memory
is no longer in the processor's caches, and CPython's implementation is faster: see decision 0014.
"""

import hashlib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

SHORT = 55
"""Bytes that SHA-256 hashes in one block (FIPS 180-4, 5.1.1); up to there both are as fast."""


def _own() -> "Callable[[bytes], Hash]":
    for module in ("_sha2", "_sha256"):  # since CPython 3.12, and before; not every Python has one
        try:
            found: Callable[[bytes], Hash] = import_module(module).sha256
        except ImportError:
            continue
        return found
    return hashlib.sha256


sha256 = _own()
