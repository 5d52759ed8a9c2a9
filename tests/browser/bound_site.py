"""A site whose sessions are bound, over https, and a browser that binds them."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from coatcheck import Bound, Cookie, Session, session
from coatcheck.storage import MemoryStorage
from coatcheck.testing import Clock
from tests.hosts import SECRET

COOKIE, BOUND_COOKIE = "__Host-shop", "__Host-shop-bound"

NO_ICON = '<link rel="icon" href="data:,">'
"""Else the browser's request for one, which is in scope, would refresh, too."""

FEATURES = (
    "DeviceBoundSessions:RefreshQuota/false,"
    "EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
)
"""Without a quota for tests, and with keys in software: a test machine has no secure hardware."""


class Site:
    """
    Pages that say who is signed in.

    Args:
        prefix: What a proxy takes off each path; the site is below it.

    Attributes:
        log: What was asked: method and path, the status of the answer.
        fails: Whether the browser's own requests are answered with 503.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.clock = Clock()
        self.storage = MemoryStorage(clock=self.clock)
        cookie = Cookie(COOKIE, secrets=[SECRET], max_age=7 * 24 * 3600)
        self.bound = Bound(
            prefix=prefix, exclude=[f"{prefix}/public"], include=[prefix] if prefix else []
        )
        self._sessions = session(cookie, self.storage, rotate=300, bound=self.bound)(self._pages)
        self.log: list[tuple[str, str, int]] = []
        self.fails = False
        self.origin = ""

    def asked(self, start: int = 0) -> list[str]:
        """Return what was asked from a place in the log on: "POST /_session/refresh 200"."""
        return [" ".join(map(str, entry)) for entry in self.log[start:]]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"content-security-policy", b"script-src 'self'"))
                self.log.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        if scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif not scope["path"].startswith(self.prefix):
            await _answer(noted, f"<h1>{BOUND_COOKIE in str(scope['headers'])}</h1>")
        elif self.fails and scope["path"].startswith("/_session"):
            await _answer(noted, "", status=503)
        else:
            path = scope["path"].removeprefix(self.prefix)
            await self._sessions({**scope, "path": path}, receive, noted)

    async def _pages(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002
        found: Session = scope["session"]
        match scope["path"]:
            case "/sign-in":
                found.sign_in("ada")
            case "/sign-out":
                found.sign_out()
            case "/new-id":
                found.confirm()
            case "/keep" | "/public/keep":
                found["kept"] = True
        name = found.signed_in.user if found.signed_in else "nobody"
        await _answer(send, f"<h1>{name} {'bound' if found.is_bound else 'free'}</h1>")


async def _answer(send: Any, body: str, *, status: int = 200) -> None:
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": (NO_ICON + body).encode()})


@contextmanager
def served(app: Any, certificate: Path, key: Path) -> Iterator[int]:
    """Serve an application over https on a free port, in a thread, and yield the port."""
    config = uvicorn.Config(
        app,
        port=0,
        log_level="error",
        lifespan="off",
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    server = uvicorn.Server(config)
    started = threading.Event()

    async def startup(sockets: Any = None) -> None:
        await uvicorn.Server.startup(server, sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
