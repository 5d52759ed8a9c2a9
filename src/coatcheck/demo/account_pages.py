"""
The pages of a signed-in visitor: the devices, the password, and what the support sees.

A password is asked again before it can be changed, if it was asked more than a minute ago. Changing
it signs out every other device. The support may look at the shop as a visitor, for ten minutes, and
every page says so.
"""

import asyncio
from datetime import UTC, datetime
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from coatcheck import SignIn, device_label
from coatcheck.demo.accounts import PASSWORD, STAFF, Accounts
from coatcheck.demo.rendering import page, session_of
from coatcheck.demo.report import spoken
from coatcheck.redirects import safe_redirect_target
from coatcheck.users import AsyncUsers

FRESH = 60
"""Seconds after which the password is asked again."""

REMEMBERED = 14 * 24 * 3600
"""Seconds that a browser is remembered."""

ACTS = 10 * 60
"""Seconds that the support sees what a visitor sees."""


async def sign_in_form(request: Request) -> Response:
    """Ask who it is; after a wrong password, with the name still there."""
    session = session_of(request)
    onward = safe_redirect_target(request.query_params.get("next"))
    return page(
        request,
        "sign-in.html",
        problem=session.get("problem"),
        tried=session.get("tried", ""),
        onward=onward,
        password=PASSWORD,
        staff=STAFF,
    )


async def sign_in(request: Request) -> Response:
    """Sign in a visitor who knows the password: under a new id, and with the cart of before."""
    async with request.form() as form:
        name, password = text_of(form, "name").strip()[:40], text_of(form, "password")
        onward, remembers = safe_redirect_target(text_of(form, "next")), "remember" in form
    session, accounts = session_of(request), accounts_of(request)
    if not accounts.is_right(name, password):
        session.flash("problem", "That is not the password. It stands below.")
        session.flash("tried", name)
        return RedirectResponse(f"/sign-in?next={quote(onward)}", 303)
    label = await asyncio.to_thread(device_label, request.headers.get("user-agent"))
    remember = REMEMBERED if remembers else False
    session.sign_in(name, remember=remember, pin=accounts.pin(name), label=label)
    return go(request, onward, f"Welcome, {name}. You see this notice once.")


async def sign_out(request: Request) -> Response:
    """End the session."""
    session_of(request).sign_out()
    return RedirectResponse("/goodbye", 303)


async def devices(request: Request) -> Response:
    """List the sessions of the visitor."""
    signed_in = session_of(request).signed_in
    if signed_in is None:
        return RedirectResponse("/sign-in?next=/devices", 303)
    users, found = users_of(request), []
    if users is not None and signed_in.actor is None:
        found = await users.sessions_of(signed_in.user, current=session_of(request))
    return page(
        request,
        "devices.html",
        devices=found,
        lists=users is not None,
        binds=request.app.state.https,
        is_staff=signed_in.actor is None and signed_in.user == STAFF,
        now=datetime.now(UTC),
        spoken=spoken,
        minutes=ACTS // 60,
    )


async def end_device(request: Request) -> Response:
    """Sign one device out."""
    async with request.form() as form:
        handle = text_of(form, "handle")
    signed_in, users = own_sign_in(request), users_of(request)
    if signed_in is None or users is None:
        return RedirectResponse("/devices", 303)
    if handle == signed_in.handle:
        return await sign_out(request)
    was_there = await users.end(signed_in.user, handle)
    return go(request, "/devices", "Signed out." if was_there else "It was signed out already.")


async def end_other_devices(request: Request) -> Response:
    """Sign every device out but this one."""
    users = users_of(request)
    if own_sign_in(request) is None or users is None:
        return RedirectResponse("/devices", 303)
    return go(request, "/devices", _others(await users.end_others(session_of(request))))


async def password_form(request: Request) -> Response:
    """Ask for a new password, if the old one was asked a moment ago."""
    return _not_fresh(request) or page(request, "password.html")


async def change_password(request: Request) -> Response:
    """Take a new password: this device stays, and every other one is signed out."""
    if refused := _not_fresh(request):
        return refused
    async with request.form() as form:
        new = text_of(form, "new")[:200]
    session, accounts, users = session_of(request), accounts_of(request), users_of(request)
    assert session.signed_in is not None  # noqa: S101 - _not_fresh has looked
    name = session.signed_in.user
    if not new or not accounts.change(name, new):
        return go(request, "/password", "That password was not taken.")
    session.confirm(pin=accounts.pin(name))
    if users is None:
        return go(request, "/devices", "Changed. Every other device is signed out.")
    return go(request, "/devices", f"Changed. {_others(await users.end_others(session))}")


async def confirm_form(request: Request) -> Response:
    """Ask for the password again."""
    if own_sign_in(request) is None:
        return RedirectResponse("/devices", 303)
    onward = safe_redirect_target(request.query_params.get("next"))
    problem = session_of(request).get("problem")
    return page(request, "confirm.html", onward=onward, problem=problem)


async def confirm(request: Request) -> Response:
    """Note that the password was asked again."""
    async with request.form() as form:
        password, onward = text_of(form, "password"), safe_redirect_target(text_of(form, "next"))
    signed_in = own_sign_in(request)
    if signed_in is None:
        return RedirectResponse("/devices", 303)
    if not accounts_of(request).is_right(signed_in.user, password):
        session_of(request).flash("problem", "That is not your password.")
        return RedirectResponse(f"/confirm?next={quote(onward)}", 303)
    session_of(request).confirm()
    return RedirectResponse(onward, 303)


async def act_as(request: Request) -> Response:
    """Let the support see what a visitor sees."""
    async with request.form() as form:
        name = text_of(form, "name").strip()[:40]
    signed_in = own_sign_in(request)
    if signed_in is None or signed_in.user != STAFF or not name:
        return go(request, "/devices", f"Only {STAFF} may look at the shop as somebody else.")
    session_of(request).act_as(name, seconds=ACTS)
    return RedirectResponse("/", 303)


async def stop_acting(request: Request) -> Response:
    """Let the support be itself again."""
    session = session_of(request)
    if session.signed_in is not None and session.signed_in.actor is not None:
        session.stop_acting()
    return RedirectResponse("/devices", 303)


def own_sign_in(request: Request) -> SignIn | None:
    """Return the visitor's own sign-in; None: no user is signed in, or the support acts."""
    signed_in = session_of(request).signed_in
    return None if signed_in is None or signed_in.actor is not None else signed_in


def accounts_of(request: Request) -> Accounts:
    """Return the passwords."""
    accounts: Accounts = request.app.state.accounts
    return accounts


def users_of(request: Request) -> AsyncUsers | None:
    """Return what lists sessions and ends them; None: this storage keeps no lists."""
    users: AsyncUsers | None = request.app.state.users
    return users


def go(request: Request, path: str, notice: str) -> Response:
    """Return a redirect, and leave a notice for the page that comes next."""
    session_of(request).flash("notice", notice)
    return RedirectResponse(path, 303)


def text_of(form: FormData, field: str) -> str:
    """Return what a form says in a field; "" if that is no text."""
    value = form.get(field)
    return value if isinstance(value, str) else ""


def _not_fresh(request: Request) -> Response | None:
    """Return where to go first, if the password was not asked a moment ago."""
    signed_in = session_of(request).signed_in
    if signed_in is None:
        return RedirectResponse("/sign-in?next=/password", 303)
    if signed_in.actor is not None:
        return go(request, "/devices", "Only the user can change the password.")
    return None if signed_in.is_fresh(FRESH) else RedirectResponse("/confirm?next=/password", 303)


def _others(count: int) -> str:
    one = "One other device is signed out."
    return one if count == 1 else f"{count or 'No'} other devices are signed out."


ROUTES = [
    Route("/sign-in", sign_in_form),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Route("/devices", devices),
    Route("/devices/end", end_device, methods=["POST"]),
    Route("/devices/end-others", end_other_devices, methods=["POST"]),
    Route("/password", password_form),
    Route("/password", change_password, methods=["POST"]),
    Route("/confirm", confirm_form),
    Route("/confirm", confirm, methods=["POST"]),
    Route("/act-as", act_as, methods=["POST"]),
    Route("/act-as/stop", stop_acting, methods=["POST"]),
]
