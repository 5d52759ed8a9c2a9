"""
The shop as an application: pages, sessions, guard.

    app = create_app(checkroom, secret)
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from coatcheck import Bound, Cookie
from coatcheck.asgi import SessionMiddleware
from coatcheck.auth import AuthMiddleware, SessionScheme
from coatcheck.demo import pages, rendering
from coatcheck.demo.accounts import Accounts
from coatcheck.demo.checkroom import Checkroom
from coatcheck.demo.guard import Guard

IDLE = 60 * 60
"""Seconds that an unused session lives: an hour is long enough to look around."""

LIFETIME = 30 * 24 * 60 * 60
"""Seconds that any session lives, used or not; a browser that is remembered comes back."""


def create_app(checkroom: Checkroom, secret: str, *, https: bool = False) -> Guard:
    """
    Return the shop.

    Args:
        checkroom: Where its sessions live.
        secret: Signs the session cookie.
        https: The shop is served over HTTPS, so sessions can be bound to the device.
    """
    cookie = Cookie(
        "coatcheck_demo",
        secrets=[secret],
        max_age=IDLE,
        httponly=True,
        samesite="Lax",
        # Some browsers drop a Secure cookie over plain HTTP, even of 127.0.0.1.
        # Anywhere else leave it out: secure=True is the default.
        secure=https,
    )
    accounts, users = Accounts(), checkroom.users(cookie)
    sessions = Middleware(
        SessionMiddleware,
        cookie=cookie,
        storage=checkroom.storage,
        lifetime=LIFETIME,
        users=users,
        bound=Bound(exclude=["/static"]) if https and checkroom.on_server else None,
    )
    auth = Middleware(AuthMiddleware, schemes=[SessionScheme(pin=accounts.pin)])
    static = Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    shop = Starlette(
        routes=[*pages.ROUTES, static],
        middleware=[sessions, auth],
        exception_handlers={404: rendering.missing, Exception: rendering.failed},
    )
    shop.state.https = https
    shop.state.cookie, shop.state.checkroom = cookie, checkroom
    shop.state.accounts, shop.state.users = accounts, users and users.aio
    return Guard(shop)
