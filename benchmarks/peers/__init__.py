"""
What a user would pick instead, each over its own bare application.

Each is set up as its documentation does, with its fastest safe serializer, one connection that
stays open, and a life of 14 days. Where an option keeps a read from writing, it is set, because our
reads do not write either: so the figures are its best. What a peer does in W1 and W2 all the same,
such as saving every session it has read, is what its users get.
"""

from collections.abc import Callable
from importlib import import_module

from benchmarks.place import Place
from benchmarks.subjects import Subject


def _of(module: str, kind: str) -> Callable[[Place], Subject]:
    """Return what makes a peer; its framework is imported only then."""

    def make(place: Place) -> Subject:
        made: Subject = import_module(f"benchmarks.peers.{module}").subject(kind, place)
        return made

    return make


KINDS = {
    "starsessions": ("cookie", "memory", "redis"),
    "litestar": ("cookie", "memory", "redis"),
    "flask": (
        "own",
        "session redis",
        "session redis refresh",
        "coatcheck cookie",
        "coatcheck redis",
    ),
    "django": ("cookie", "database", "memory", "redis"),
    "beaker": ("cookie", "memory", "redis"),
    "aiohttp": ("cookie", "redis"),
}

PEERS = {f"{module} {kind}": _of(module, kind) for module, kinds in KINDS.items() for kind in kinds}
"""Makes each peer; and ours as WSGI applications over a bare Flask, to compare with Flask's own."""
