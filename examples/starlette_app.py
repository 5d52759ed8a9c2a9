"""
Sign in, look around, sign out: the whole program, on Starlette. FastAPI takes the same middleware.

    SESSION_SECRET=… uvicorn examples.starlette_app:app

Make the secret with `secrets.token_urlsafe(32)`. The only user is ada, and the password is
"analytical engine". The sessions lie in files, in the folder that SESSION_FOLDER names.
"""

import hashlib
import hmac
import os
import secrets
from html import escape

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from coatcheck import Context, Cookie, Session
from coatcheck.asgi import SessionMiddleware
from coatcheck.storage import FileStorage

session_cookie = Cookie(
    "__session",
    httponly=True,
    secure=os.environ.get("APP_ENV") == "production",
    samesite="Lax",
    secrets=[os.environ["SESSION_SECRET"]],
    max_age=60 * 60 * 24 * 7,  # one week
)
session_storage = FileStorage(os.environ.get("SESSION_FOLDER", "sessions"))


def password_hash(password: str, salt: bytes) -> bytes:
    """Return what is kept of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


SALT = b"your database has one for each user"
USERS = {"ada": password_hash("analytical engine", SALT)}
NOBODY = secrets.token_bytes(64)  # so that an unknown name takes as long as a wrong password


def password_is_right(name: str, password: str) -> bool:
    """Tell whether *name* is a user with this password."""
    return hmac.compare_digest(USERS.get(name, NOBODY), password_hash(password, SALT))


def session_of(request: Request) -> Session:
    """Return the session. It is `request.session` too, which type checkers take for a dict."""
    return Context(request.scope).get(Session)


async def home(request: Request) -> Response:
    """Say hello, and show once what the last request left to say."""
    session = request.session
    notice, name = escape(session.get("notice", "")), session.get("user")
    if name is None:
        return HTMLResponse(f'<p>{notice}</p><p>Hello.</p><a href="/sign-in">Sign in</a>')
    button = '<form method="post" action="/sign-out"><button>Sign out</button></form>'
    return HTMLResponse(f"<p>{notice}</p><p>Hello, {escape(name)}.</p>{button}")


async def sign_in_form(request: Request) -> Response:
    """Ask for name and password."""
    notice = escape(request.session.get("notice", ""))
    return HTMLResponse(
        f'<p>{notice}</p><form method="post"><input name="name">'
        '<input name="password" type="password"><button>Sign in</button></form>'
    )


async def sign_in(request: Request) -> Response:
    """Check the password."""
    async with request.form() as form:
        name, password = str(form.get("name")), str(form.get("password"))
    session = session_of(request)
    if not await run_in_threadpool(password_is_right, name, password):
        session.flash("notice", "Name or password is wrong.")
        return RedirectResponse("/sign-in", status_code=303)
    session.set("user", name)
    session.regenerate_id()  # an id that leaked before is worth nothing now
    session.flash("notice", "Welcome back.")
    return RedirectResponse("/", status_code=303)


async def sign_out(request: Request) -> Response:
    """End the session."""
    session_of(request).destroy()
    return RedirectResponse("/", status_code=303)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/sign-in", sign_in_form),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
    ],
    middleware=[Middleware(SessionMiddleware, cookie=session_cookie, storage=session_storage)],
)
