"""
Sign in, look around, sign out: the whole program, on coatcheck's own router.

    SESSION_SECRET=… uvicorn examples.router_app:router

Make the secret with `secrets.token_urlsafe(32)`. The only user is ada, and the password is
"analytical engine".
"""

import hashlib
import hmac
import os
import secrets
from html import escape
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import coatcheck
from coatcheck import Context, Cookie, Session
from coatcheck.auth import Auth, SessionScheme, auth, require_auth
from coatcheck.forms import FormData, form_data
from coatcheck.redirects import safe_redirect_target
from coatcheck.router import Router
from coatcheck.storage import CookieStorage

session_cookie = Cookie(
    "__session",
    httponly=True,
    secure=os.environ.get("APP_ENV") == "production",
    samesite="Lax",
    secrets=[os.environ["SESSION_SECRET"]],
    max_age=60 * 60 * 24 * 7,  # one week
)
session_storage = CookieStorage()


def password_hash(password: str, salt: bytes) -> bytes:
    """Return what is kept of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


SALT = b"your database has one for each user"
USERS = {"ada": password_hash("analytical engine", SALT)}
NOBODY = secrets.token_bytes(64)  # so that an unknown name takes as long as a wrong password


def password_is_right(name: str, password: str) -> bool:
    """Tell whether *name* is a user with this password."""
    return hmac.compare_digest(USERS.get(name, NOBODY), password_hash(password, SALT))


def known_user(name: str) -> str | None:
    """Return the user whom a session remembers, unless the account is gone meanwhile."""
    return name if name in USERS else None


async def to_sign_in(context: Context) -> Response:
    """Send a stranger to the sign-in, and from there back to this page."""
    here = context.get(Request).url.path
    return RedirectResponse(f"/sign-in?{urlencode({'next': here})}", status_code=303)


scheme = SessionScheme(read=lambda session: session.get("user"), verify=known_user)
router = Router(
    middleware=[
        form_data(),  # read forms
        coatcheck.session(session_cookie, session_storage),  # read the session
        auth(schemes=[scheme]),  # tell who it is, by the session
    ]
)


@router.get("/")
async def home(context: Context) -> Response:
    """Say hello, and show once what the last request left to say."""
    notice = escape(context.get(Session).get("notice", ""))
    if not context.get(Auth).ok:
        return HTMLResponse(f'<p>{notice}</p><p>Hello.</p><a href="/account">Your account</a>')
    name = escape(context.get(Auth).identity)
    button = '<form method="post" action="/sign-out"><button>Sign out</button></form>'
    return HTMLResponse(f"<p>{notice}</p><p>Hello, {name}.</p>{button}")


@router.get("/account", middleware=[require_auth(to_sign_in)])
async def account(context: Context) -> Response:
    """Show what is for the user's eyes only."""
    return HTMLResponse(f"<p>The account of {escape(context.get(Auth).identity)}.</p>")


@router.get("/sign-in")
async def sign_in_form(context: Context) -> Response:
    """Ask for name and password."""
    request, notice = context.get(Request), context.get(Session).get("notice", "")
    target = escape(safe_redirect_target(request.query_params.get("next")))
    return HTMLResponse(
        f'<p>{escape(notice)}</p><form method="post">'
        f'<input name="name"><input name="password" type="password">'
        f'<input name="next" type="hidden" value="{target}"><button>Sign in</button></form>'
    )


@router.post("/sign-in")
def sign_in(context: Context) -> Response:
    """Check the password: in a worker thread, since this is a plain function."""
    form, session = context.get(FormData), context.get(Session)
    name = str(form.get("name"))
    if not password_is_right(name, str(form.get("password"))):
        session.flash("notice", "Name or password is wrong.")
        return RedirectResponse("/sign-in", status_code=303)
    session.set("user", name)
    session.regenerate_id()  # an id that leaked before is worth nothing now
    session.flash("notice", "Welcome back.")
    return RedirectResponse(safe_redirect_target(form.get("next")), status_code=303)


@router.post("/sign-out")
async def sign_out(context: Context) -> Response:
    """End the session."""
    context.get(Session).destroy()
    return RedirectResponse("/", status_code=303)
