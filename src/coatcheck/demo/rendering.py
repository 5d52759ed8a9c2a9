"""
Make a page of the shop: a template, and the parts that every page has.

Everything a template shows is escaped, whatever its source; none of them marks anything as safe.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from coatcheck import BackendError, Context, Session
from coatcheck.demo.checkroom import Checkroom
from coatcheck.demo.products import Cart

_templates = Environment(
    loader=PackageLoader("coatcheck.demo"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@cache
def documentation() -> str:
    """Return the address of the documentation that the package was built with; "": it has none."""
    try:
        lines = metadata("coatcheck").get_all("Project-URL") or ()
    except PackageNotFoundError:
        return ""
    found: dict[str, str] = dict(line.split(", ", 1) for line in lines)
    return found.get("Documentation", found.get("Source", ""))


_templates.globals["documentation"] = documentation


def page(request: Request, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """Return a page, with what stands on every one: the user, the cart, a notice."""
    session = session_of(request)
    signed_in = session.signed_in
    html = _templates.get_template(template).render(
        checkroom=request.app.state.checkroom,
        path=request.url.path,
        name=signed_in and signed_in.user,
        actor=signed_in and signed_in.actor,
        in_cart=sum(cart_of(session).values()),
        notice=session.get("notice"),
        **values,
    )
    return HTMLResponse(html, status, headers={"cache-control": "no-store"})


def session_of(request: Request) -> Session:
    """Return the request's session: `request.session`, with its type."""
    return Context(request.scope).get(Session)


def cart_of(session: Session) -> Cart:
    """Return what the visitor has put aside."""
    kept: Cart | None = session.get("cart")
    return kept or {}


async def missing(request: Request, _: Exception) -> Response:
    """Answer a request for a page that is not there."""
    return page(request, "missing.html", status=404)


async def failed(request: Request, error: Exception) -> Response:
    """Answer a request that an error ended: without a session, which may be what failed."""
    status = 503 if isinstance(error, BackendError) else 500
    checkroom: Checkroom = request.app.state.checkroom
    html = _templates.get_template("failed.html").render(status=status, checkroom=checkroom)
    return HTMLResponse(html, status)
