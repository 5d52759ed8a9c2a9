"""
The shop as an application: pages, sessions, guard.

    app = create_app(checkroom, secret)
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from coatcheck import Cookie
from coatcheck.asgi import SessionMiddleware
from coatcheck.demo import pages, rendering
from coatcheck.demo.checkroom import Checkroom
from coatcheck.demo.guard import Guard

IDLE = 60 * 60
"""Seconds that an unused session lives: an hour is long enough to look around."""

LIFETIME = 8 * 60 * 60
"""Seconds that any session lives, used or not: a working day."""


def create_app(checkroom: Checkroom, secret: str) -> Guard:
    """
    Return the shop.

    Args:
        checkroom: Where its sessions live.
        secret: Signs the session cookie.
    """
    cookie = Cookie(
        "coatcheck_demo",
        secrets=[secret],
        max_age=IDLE,
        httponly=True,
        samesite="Lax",
        # Served over plain HTTP, where some browsers drop a Secure cookie, even of 127.0.0.1.
        # Anywhere else leave it out: secure=True is the default.
        secure=False,
    )
    sessions = Middleware(
        SessionMiddleware, cookie=cookie, storage=checkroom.storage, lifetime=LIFETIME
    )
    static = Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    shop = Starlette(
        routes=[*pages.ROUTES, static],
        middleware=[sessions],
        exception_handlers={404: rendering.missing, Exception: rendering.failed},
    )
    shop.state.cookie, shop.state.checkroom = cookie, checkroom
    return Guard(shop)
