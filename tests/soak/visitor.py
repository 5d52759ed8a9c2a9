"""
One visitor of the soak: a browser that acts at random, and a model that knows what it must see.

An answer that is lost leaves two possibilities: the request was carried out, or it was not. The
model keeps both until an answer tells which. What it never accepts:

    another visitor's data            every value holds the visitor's own name
    a change that was confirmed, and is lost
    a session that comes back         a copy of a cookie from before a sign-out or a new id
"""

import asyncio
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from random import Random
from typing import Any

import aiohttp

ACTIONS = ["add"] * 10 + ["show"] * 6 + ["id"] * 2 + ["in"] * 2 + ["out"] + ["hang up"] * 2
"""What a visitor does, each as often as it stands here."""

COPIES = 5
"""Old cookies that a visitor keeps to try them."""

PATIENCE = 10.0
"""Seconds for an answer."""


@dataclass
class Tally:
    """What all visitors saw."""

    requests: int = 0
    lost: int = 0
    violations: list[str] = field(default_factory=list)


class Visitor:
    """
    A browser and its model.

    Args:
        name: Differs from every other visitor's.
        site: The address of the server: "http://127.0.0.1:8000".
    """

    def __init__(self, name: str, site: str, random: Random, tally: Tally) -> None:
        self.name, self.site, self.random, self.tally = name, site, random, tally
        self.cookie: str | None = None
        self.copies: list[str] = []
        self.confirmed = 0  # changes that were answered, in the present session
        self.asked = 0  # changes that were sent
        self.number = 0

    async def act(self, client: aiohttp.ClientSession) -> None:
        """Do one thing, and check what it shows."""
        action = self.random.choice(ACTIONS)
        if self.copies and self.random.random() < 0.1:
            await self._try_a_copy(client)
        elif action == "hang up":
            await self._hang_up(client)
        else:
            await self._visit(client, action)

    async def _visit(self, client: aiohttp.ClientSession, action: str) -> None:
        before = self.cookie
        if action == "add":
            self.asked += 1
        found = await self._ask(client, self._path(action))
        if found is None:
            if before is None or action in ("id", "in", "out"):
                self._begin_anew()  # the cookie that the answer carried is lost
            return
        self._take(action, *found)
        if action in ("id", "in", "out") and before and self.cookie != before:
            self.copies = [*self.copies, before][-COPIES:]

    async def _hang_up(self, client: aiohttp.ClientSession) -> None:
        """Send a change, and leave before its answer."""
        self.asked += 1
        asking = asyncio.ensure_future(self._ask(client, self._path("add")))
        await asyncio.sleep(self.random.random() * 0.01)
        if not asking.done():
            asking.cancel()
        done, _ = await asyncio.wait([asking])
        for each in done:
            if not each.cancelled() and (found := each.result()):
                self._take("add", *found)
            elif self.cookie is None:
                self._begin_anew()

    async def _try_a_copy(self, client: aiohttp.ClientSession) -> None:
        """Send a cookie from before a sign-out or a new id: it leads to nothing."""
        held, self.cookie = self.cookie, self.random.choice(self.copies)
        try:
            found = await self._ask(client, "/show")
        finally:
            self.cookie = held
        if found and found[0]:
            self._violation(f"a copy of an old cookie shows {found[0]}")

    async def _ask(
        self, client: aiohttp.ClientSession, path: str
    ) -> tuple[dict[str, Any], str | None] | None:
        """Return what a page shows and the cookie that it sets, or None if no answer came."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        self.tally.requests += 1
        try:
            async with client.get(self.site + path, headers=headers) as response:
                if response.status != 200:
                    self.tally.lost += 1
                    return None
                shown = await response.json(content_type=None)
                return shown, _cookie_of(response)
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.tally.lost += 1
            return None

    def _path(self, action: str) -> str:
        self.number += 1
        return f"/{action}/{self.name}-{self.number}"

    def _take(self, action: str, shown: dict[str, Any], cookie: str | None) -> None:
        """Compare what a page shows with the model, and take it over."""
        entries = shown.get("entries", [])
        own = [str(shown.get("user", self.name)), *map(str, entries)]
        if not all(f"{text}-".startswith(f"{self.name}-") for text in own):
            self._violation(f"{action} shows another visitor's data: {shown}")
        count = shown.get("count", 0)
        if not self.confirmed <= count <= self.asked and action != "out":
            self._violation(f"{action} counts {count}, not {self.confirmed} to {self.asked}")
        if count != len(set(entries)):
            self._violation(f"{action} counts {count} changes beside {len(set(entries))} entries")
        self.confirmed = count
        if cookie is not None:
            self.cookie = cookie or None
        if self.cookie is None:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Go on as another browser, which holds no cookie."""
        self.cookie, self.confirmed, self.asked = None, 0, 0

    def _violation(self, text: str) -> None:
        self.tally.violations.append(f"{self.name}: {text}")


def _cookie_of(response: aiohttp.ClientResponse) -> str | None:
    """Return the Cookie header that a response asks for; "": none any more; None: as before."""
    for line in response.headers.getall("Set-Cookie", ()):
        for name, morsel in SimpleCookie(line).items():
            return "" if morsel["max-age"] == "0" else f"{name}={morsel.value}"
    return None
