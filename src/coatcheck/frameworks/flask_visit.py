"""
The common part of Flask and Quart, whose requests and responses are Werkzeug's.

Each of them calls the shell at moments of its own, and puts here what it has learned.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any, ClassVar

from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.request import Request

from coatcheck._request.cycle import Cycle
from coatcheck._request.request_visit import RequestVisit
from coatcheck._request.text_headers import amended_text
from coatcheck._request.visit import NOTHING, Answer, Changes
from coatcheck._session.draft import Draft
from coatcheck._session.session import Session, showing
from coatcheck.asgi import ALIAS, PLACE
from coatcheck.frameworks.flask_session import FLASHES, PERMANENT, FlaskSession


class WerkzeugVisit(RequestVisit):
    """
    A request of Flask or Quart.

    Args:
        former: The session that the environ or scope had from this interface before, or None.

    Attributes:
        where: How the request calls its environ or scope.
        given: What the framework hands in as its session, to be saved.
        changes: What the session adds to the headers; None: they have not left.
        streams: Code makes the body while it is sent, and may still use the session.
        body_begun: It runs.
        closed: The framework has left the context of the request: the next one
            reads again.
        refusal: What is raised in place of the handler, or None.
    """

    where: ClassVar[str]
    kept_keys = frozenset({FLASHES, PERMANENT})
    changes: Changes | None = None
    streams = False
    body_begun = False
    closed = False
    refusal: Exception | None = None

    def __init__(self, cycle: Cycle, request: Request, former: object) -> None:
        super().__init__(request)
        self.cycle = cycle
        self.request = request
        self._former = former
        self.given: object = None

    @property
    def path(self) -> str:
        return self.request.root_path + self.request.path

    def attach(self) -> None:
        draft, self.session = self.session._draft, FlaskSession()
        self.session._draft = draft
        there = self.place.get(PLACE)
        if there is not None and there is not self._former:
            self.cycle.check_outer(there)
            # An outer middleware goes on with its own session.
            setattr(self.request, self.where, dict(self.place))
        self.place[PLACE] = self.session
        if isinstance(self.place.get(ALIAS), Session):
            self.place[ALIAS] = self.session

    @property
    def place(self) -> MutableMapping[str, Any]:
        """The environ or scope of the request."""
        place: MutableMapping[str, Any] = getattr(self.request, self.where)
        return place

    def replaced(self) -> bool:
        return self.given is not self.session

    def is_body(self, error: BaseException | None) -> bool:
        """Tell whether a body is to run, or runs, and ends the request; not so after *error*."""
        return self.streams and (error is None or self.body_begun)

    def refuse(self, error: Exception, draft: Draft) -> None:
        """Give the request a session for the answer to *error*, which its handler never sees."""
        self.refusal = error
        self.session = showing(draft)
        self.attach()

    def put_instead(self, response: Any, answer: Answer) -> None:
        """Let a response be another one, which takes the place of the application's."""
        if hasattr(response.response, "close"):
            response.response.close()
        response.direct_passthrough = False
        response.headers.clear()
        response.headers.extend(list(answer.headers))
        response.status_code = answer.status
        response.set_data(answer.body)

    def amend(self, headers: Headers, *, streams: bool = False) -> None:
        """
        Make the changes in the headers of a response.

        Args:
            streams: The body may still read the session.
        """
        assert self.changes is not None  # noqa: S101 - the callers have saved
        changes = self.changes
        if changes.instead is not None:
            return  # that says it all
        if streams or self.session._accessed:
            changes = changes._replace(vary=True)
        if changes != NOTHING:
            pairs = amended_text(headers, changes)
            headers.clear()
            headers.extend(pairs)


class SentAtOnce(HTTPException):
    """The exception that a host raises to answer with a response of its own."""


def sent_at_once(answer: Answer, response_class: Any) -> SentAtOnce:
    """Return the exception that Werkzeug's applications answer with this response, as it is."""
    headers = Headers(list(answer.headers))
    return SentAtOnce(response=response_class(answer.body, answer.status, headers))


def let_pass(app: Any, blueprints: Iterable[str], refusal: Exception) -> None:
    """
    See to it that *refusal*, which is raised next, is the answer, if it is a `SentAtOnce`.

    The application may have said `TRAP_HTTP_EXCEPTIONS`: then it takes these for errors, and asks
    the handlers of its blueprints and its own, which may be for every exception.
    """
    if isinstance(refusal, SentAtOnce):
        for name in (*blueprints, None):
            app.error_handler_spec[name][None].setdefault(SentAtOnce, SentAtOnce.get_response)
