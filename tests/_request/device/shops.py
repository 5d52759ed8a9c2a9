"""An application whose sessions are bound, and the browsers that visit it."""

from typing import Any

from coatcheck import Bound, Cookie
from coatcheck._request.cycle import Cycle
from coatcheck._request.shell import Shell
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.bound_browsers import (
    BoundBrowser,
    Handler,
)
from tests.devices import rsa_key
from tests.hosts import SECRET

COOKIE = Cookie("__Host-shop", secrets=[SECRET], max_age=7 * 24 * 3600)

LONG, SHORT = "__Host-shop", "__Host-shop-bound"

RSA = rsa_key()

BOUND = Bound(path="/_session", every=600, exclude=["/static"])

FROM_ELSEWHERE = {
    "sec_fetch_site": "cross-site",
    "sec_fetch_mode": "navigate",
    "sec_fetch_dest": "document",
}


class Shop:
    """One application, and the browsers that visit it."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.storage = MemoryStorage(clock=clock)
        self.refused: list[str] = []
        options = {"bound": BOUND, **options}
        self.cycle = Cycle(COOKIE, self.storage, **options)
        assert self.cycle.device
        self.cycle.device._refused = lambda _, why: self.refused.append(why)
        self.shell: Any = Shell(self.cycle)

    def browser(self) -> BoundBrowser:
        return BoundBrowser(self.shell)

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)


def sets(key: str) -> Handler:
    return lambda session: session.set(key, 1)
