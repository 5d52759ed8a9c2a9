"""
Sessions that are bound to a device, in Django: the key `bound` of `COATCHECK_OPTIONS`.

    COATCHECK_OPTIONS = {"bound": Bound(), "user_key": "_auth_user_id"}

The rules are those of `Device`, as everywhere. Our `SessionMiddleware` serves the browser's own
requests and adds to the response of a sign-in. The engine asks `counts` of each session that it
reads, whenever a view first looks at it.

A `SessionStore` that no request has, as in a task or a consumer of sockets, brings no proof.
"""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpResponse

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.bound import Bound
from coatcheck._request.device import Device
from coatcheck._request.visit import Answer, Changes, Visit
from coatcheck._session import operations
from coatcheck._session.binding import Rebind
from coatcheck._session.session import Session
from coatcheck.errors import ConfigurationError
from coatcheck.frameworks.django_options import SETTING, Misconfigured, options
from coatcheck.frameworks.django_session import reporter, secrets, terms

_SET = "SESSION_COOKIE_SECURE must be True, SESSION_COOKIE_DOMAIN None and SESSION_COOKIE_PATH '/'"


class DjangoVisit(Visit):
    """
    A request of Django.

    Attributes:
        instead: The answer in place of the project's; None: there is none.
        step: What a request of the browser itself changes; None: it is none, or changes nothing.
    """

    instead: Answer | None = None
    step: Rebind | None = None

    def __init__(self, request: Any) -> None:
        self._request = request
        self.cookies = request.META.get("HTTP_COOKIE")

    @property
    def method(self) -> str:
        return str(self._request.method)

    @property
    def path(self) -> str:
        return str(self._request.path)

    def header(self, name: str) -> str:
        return str(self._request.headers.get(name, ""))


def device() -> Device | None:
    """
    Return the device binding that the settings name; None: they name none.

    Raises:
        ImproperlyConfigured: The session cookie does not reach the requests that need it, or the
            package cryptography is missing.
    """
    bound = options().bound
    if bound is None:
        return None
    return _device_of(
        bound,
        name=settings.SESSION_COOKIE_NAME,
        secrets=secrets(),
        domain=settings.SESSION_COOKIE_DOMAIN or None,
        path=settings.SESSION_COOKIE_PATH,
        samesite=settings.SESSION_COOKIE_SAMESITE or None,
        secure=bool(settings.SESSION_COOKIE_SECURE),
    )


@lru_cache(maxsize=4)
def _device_of(bound: Bound, *, name: str, **attributes: Any) -> Device:
    try:
        return Device(Cookie(name, **attributes), bound, _tell_of_refusal, _tell_of_binding)
    except ConfigurationError as error:
        raise Misconfigured(f"{SETTING}['bound'] cannot be used", f"{error}. {_SET}") from error


def counts(session: Session, visit: DjangoVisit | None) -> bool:
    """
    Tell whether a session that was read counts; if not, let it be that of a visitor.

    Args:
        visit: The request; None: code without one reads the session, and so there is no proof.
    """
    known = device()
    if known is None or session._draft.found is None:
        return True
    if visit is None:
        known.renew("free", session)
    elif not known.serves(visit):
        visit.instead = known.admit(visit, session)
    if session._draft.found is not None and (visit is None or visit.instead is None):
        return True
    if session._draft.shared:
        session._draft = operations.start(terms())._draft
    session._draft.terms = terms()
    return False


def response_of(answer: Answer, response: Any = None) -> Any:
    """Return a response with an answer, or give it to one that has cookies already."""
    sent = HttpResponse() if response is None else response
    sent.status_code, sent.content = answer.status, answer.body
    sent._has_been_logged = True  # a browser that asks first is no warning: refusals are events
    lines = [value for name, value in answer.headers if name == "set-cookie"]
    add(sent, Changes(set_cookies=tuple(lines)))
    for name, value in answer.headers:
        if name != "set-cookie":
            sent.headers[name] = value
    return sent


def amend(response: Any, known: Device, visit: DjangoVisit) -> None:
    """Add to a response what it says of the device, if it says anything of the session."""
    told = response.cookies.get(settings.SESSION_COOKIE_NAME)
    if told is not None:
        add(response, known.amended(visit, Changes(), ended=not told.value))


def add(response: Any, changes: Changes) -> None:
    """Make the changes in the headers of a response."""
    for line in changes.set_cookies:
        response.cookies.load(line)
    for name, value in changes.headers:
        response.headers[name] = value


def _tell_of_refusal(session: Session, reason: str) -> None:
    """Tell that a request did not come from the device of its session."""
    if teller := reporter():
        teller.tell_of(session._draft, "refused", f"device: {reason}")


def _tell_of_binding(session: Session) -> None:
    """Tell that a session was bound to a device."""
    if teller := reporter():
        teller.tell_of(session._draft, "bound")
