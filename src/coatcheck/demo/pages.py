"""
The pages of the shop, and what its forms do.

A form that changes something answers with a redirect, and leaves a notice for the page that comes
next. Only the forms of the session page answer with that page itself, because it shows what its own
request did.
"""

import asyncio
import re
from datetime import UTC, datetime
from functools import partial

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from coatcheck.demo import account_pages, products
from coatcheck.demo.account_pages import go, text_of
from coatcheck.demo.rendering import cart_of, page, session_of
from coatcheck.demo.report import cookie_facts, report_on, spoken

PARALLEL = 20
"""Requests that the page of parallel requests sends at once."""

WORK = 0.05
"""Seconds that each of them takes, as if it asked a database: long enough to meet the others."""


async def shop(request: Request) -> Response:
    """Show what there is to buy."""
    query = request.query_params.get("q", "")[:60]
    return page(request, "shop.html", products=products.found(query), query=query)


async def add(request: Request) -> Response:
    """Put one product into the cart."""
    async with request.form() as form:
        product = _product(form)
    session = session_of(request)
    session.apply("cart", partial(products.added, slug=product.slug), {})
    return go(request, "/", f"{product.name}: in your cart.")


async def cart(request: Request) -> Response:
    """Show the cart."""
    lines = products.lines(cart_of(session_of(request)))
    return page(request, "cart.html", lines=lines, total=sum(line.price for line in lines))


async def change_cart(request: Request) -> Response:
    """Take another number of a product, or none."""
    async with request.form() as form:
        product, count = _product(form), text_of(form, "count")
    if not re.fullmatch(r"[0-9]{1,4}", count):
        raise HTTPException(400, "How many? A whole number, please.")
    session = session_of(request)
    session.apply("cart", partial(products.counted, slug=product.slug, count=int(count)), {})
    said = "out of your cart." if int(count) == 0 else f"{int(count)} in your cart."
    return go(request, "/cart", f"{product.name}: {said}")


async def order(request: Request) -> Response:
    """Empty the cart, as if it had been paid; only for a signed-in user."""
    session = session_of(request)
    if session.signed_in is None:
        return RedirectResponse("/sign-in?next=/cart", 303)
    session.unset("cart")
    return go(request, "/", "Thank you. Nothing was charged, and nothing will arrive.")


async def goodbye(request: Request) -> Response:
    """Say what signing out did."""
    return page(request, "goodbye.html")


async def show_session(request: Request) -> Response:
    """Show the session's own state."""
    session = session_of(request)
    session.get("notice")  # now, so that the report has it
    cookie, now = request.app.state.cookie, datetime.now(UTC)
    return page(
        request,
        "session.html",
        report=report_on(session, now),
        facts=cookie_facts(cookie, request.cookies.get(cookie.name)),
        note=session.get("note", ""),
        now=now,
        spoken=spoken,
    )


async def change_session(request: Request) -> Response:
    """Do one thing to the session, and show its state in this same request."""
    async with request.form() as form:
        action, note = text_of(form, "action"), text_of(form, "note").strip()[:200]
    session = session_of(request)
    if action == "keep" and note:
        session["note"] = note
    elif action == "keep":
        session.unset("note")
    elif action == "flash":
        session.flash("notice", "You left this notice on the session page, and now it is gone.")
    elif action == "regenerate":
        session.regenerate_id()
    return await show_session(request)


async def parallel(request: Request) -> Response:
    """Show the button that sends many requests at once."""
    return page(request, "parallel.html", count=PARALLEL)


async def start_parallel(request: Request) -> Response:
    """See to it that there is a session, and return how many hangers its cart has."""
    counted = session_of(request).apply("cart", dict, {})
    return JSONResponse({"hangers": counted.get("hanger", 0)})


async def add_parallel(request: Request) -> Response:
    """Add one hanger, some time after the session was read: others add theirs meanwhile."""
    session = session_of(request)
    await asyncio.sleep(WORK)
    session.apply("cart", partial(products.added, slug="hanger"), {})
    return Response(status_code=204)


async def count_parallel(request: Request) -> Response:
    """Return how many hangers the cart has now."""
    return JSONResponse({"hangers": cart_of(session_of(request)).get("hanger", 0)})


def _product(form: FormData) -> products.Product:
    product = products.product_of(text_of(form, "product"))
    if product is None:
        raise HTTPException(400, "The shop has no such product.")
    return product


ROUTES = [
    *account_pages.ROUTES,
    Route("/", shop),
    Route("/cart", cart),
    Route("/cart", change_cart, methods=["POST"]),
    Route("/cart/add", add, methods=["POST"]),
    Route("/order", order, methods=["POST"]),
    Route("/goodbye", goodbye),
    Route("/session", show_session),
    Route("/session", change_session, methods=["POST"]),
    Route("/parallel", parallel),
    Route("/parallel/start", start_parallel, methods=["POST"]),
    Route("/parallel/add", add_parallel, methods=["POST"]),
    Route("/parallel/count", count_parallel),
]
