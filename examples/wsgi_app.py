"""
Sign in, look around, sign out: the whole program, on WSGI alone.

    SESSION_SECRET=… python examples/wsgi_app.py

Make the secret with `secrets.token_urlsafe(32)`. The only user is ada, and the password is
"analytical engine". The sessions lie in files, in the folder that SESSION_FOLDER names.

In Bottle and others the session is found the same way: `environ["coatcheck.session"]`.
Flask, Django and Pyramid have modules of their own in `coatcheck.frameworks`.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

import coatcheck
from coatcheck import Context, Cookie, Session
from coatcheck.storage import FileStorage
from coatcheck.wsgi import Environ, StartResponse

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


def home(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Say hello, and show once what the last request left to say."""
    session = Context(environ).get(Session)
    notice, name = escape(session.get("notice", "")), session.get("user")
    if name is None:
        return page(start_response, f'<p>{notice}</p><p>Hello.</p><a href="/sign-in">Sign in</a>')
    button = '<form method="post" action="/sign-out"><button>Sign out</button></form>'
    return page(start_response, f"<p>{notice}</p><p>Hello, {escape(name)}.</p>{button}")


def sign_in_form(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Ask for name and password."""
    notice = escape(Context(environ).get(Session).get("notice", ""))
    return page(
        start_response,
        f'<p>{notice}</p><form method="post"><input name="name">'
        '<input name="password" type="password"><button>Sign in</button></form>',
    )


def sign_in(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Check the password."""
    session, form = Context(environ).get(Session), posted(environ)
    name = form.get("name", "")
    if not password_is_right(name, form.get("password", "")):
        session.flash("notice", "Name or password is wrong.")
        return redirect(start_response, "/sign-in")
    session.set("user", name)
    session.regenerate_id()  # an id that leaked before is worth nothing now
    session.flash("notice", "Welcome back.")
    return redirect(start_response, "/")


def sign_out(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """End the session."""
    Context(environ).get(Session).destroy()
    return redirect(start_response, "/")


def missing(_environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Say that there is no such page."""
    return page(start_response, "<p>There is no such page.</p>", "404 Not Found")


def posted(environ: Environ) -> dict[str, str]:
    """Return the fields of a small form."""
    length = environ.get("CONTENT_LENGTH") or "0"
    size = min(int(length), 10_000) if length.isdecimal() else 0
    body = environ["wsgi.input"].read(size)
    return {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}


def page(start_response: StartResponse, text: str, status: str = "200 OK") -> list[bytes]:
    """Answer with a page."""
    start_response(status, [("Content-Type", "text/html; charset=utf-8")])
    return [text.encode()]


def redirect(start_response: StartResponse, path: str) -> list[bytes]:
    """Answer with the address of another page."""
    start_response("303 See Other", [("Location", path), ("Content-Type", "text/plain")])
    return []


ROUTES: dict[tuple[str, str], Callable[[Environ, StartResponse], list[bytes]]] = {
    ("GET", "/"): home,
    ("GET", "/sign-in"): sign_in_form,
    ("POST", "/sign-in"): sign_in,
    ("POST", "/sign-out"): sign_out,
}


def pages(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer one request."""
    handler = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]), missing)
    return handler(environ, start_response)


app = coatcheck.session(session_cookie, session_storage).wsgi(pages)

if __name__ == "__main__":
    with make_server("127.0.0.1", 8000, app) as server:
        print("Serving http://127.0.0.1:8000")
        server.serve_forever()
