"""
Sessions in Pyramid: `request.session` is what Pyramid's documentation says, over a session of ours.

    config.include("coatcheck.frameworks.pyramid")
    app = coatcheck.session(cookie, storage).wsgi(config.make_wsgi_app())

The middleware reads and saves; here is the face that views, templates and add-ons expect. Pyramid's
flash messages are queues, and kept as such. CSRF tokens are those of `coatcheck.csrf`: bound to the
session, and nothing is written when a client without a session sends a form.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from copy import deepcopy
from typing import Any, NoReturn, Self, SupportsIndex

from pyramid.interfaces import ICSRFStoragePolicy, ISession
from zope.interface import implementer

from coatcheck._cookie.tracebacks import hides_arguments
from coatcheck._session.session import Session, Value, refusal_to_pickle
from coatcheck._session.values import encode
from coatcheck.context import Context
from coatcheck.csrf import csrf_token, is_csrf_token
from coatcheck.errors import ConfigurationError
from coatcheck.frameworks.message_lists import Take
from coatcheck.wsgi import PLACE

QUEUE = "_f_"
"""The prefix of the key of a queue of flash messages, as in Pyramid's own sessions."""


def includeme(config: Any) -> None:
    """Give an application's requests our sessions and our CSRF tokens: for `config.include`."""
    config.set_session_factory(PyramidSession)
    config.set_csrf_storage_policy(TokenPolicy())


@implementer(ISession)
class PyramidSession(MutableMapping[str, Value]):
    """
    The session of one request, as Pyramid's `ISession`.

    Attributes:
        own: The `Session` behind it, with all that Pyramid has no word for.

    Raises:
        ConfigurationError: The application is not wrapped in `session(...).wsgi`, or this is a
            request that no server made, without a session in its environ.
    """

    def __init__(self, request: Any) -> None:
        context = Context(request.environ)
        if not context.has(Session):
            raise ConfigurationError(_MISSING)
        self.own: Session = context.get(Session)

    @property
    def created(self) -> int:
        """When the session was first saved, in seconds since 1970; now, if it is new."""
        created = self.own.created_at
        return int(created.timestamp() if created else time.time())

    @property
    def new(self) -> bool:
        """Whether nothing was stored before this request."""
        return self.own.is_new

    def invalidate(self) -> None:
        """Forget everything. What is set from here on goes into a session with another id."""
        self.own.clear()
        self.own.regenerate_id()

    def changed(self) -> None:
        """Do nothing: a change inside a value is seen without."""

    def regenerate_id(self) -> None:
        """Give the session a new id: after every change of the user or of rights."""
        self.own.regenerate_id()

    def destroy(self) -> None:
        """End the session."""
        self.own.destroy()

    def apply(self, key: str, function: Callable[[Any], Value], default: Value = None) -> Value:
        """Give *key* what *function* makes of its value, as one atomic step, and return that."""
        return self.own.apply(key, function, default)

    @hides_arguments
    def flash(self, msg: Value, queue: str = "", allow_duplicate: bool = True) -> None:  # noqa: FBT001, FBT002 - Pyramid's
        """Add a message to a queue; of two requests that do so at once neither is lost."""

        def added(messages: list[Value]) -> list[Value]:
            return messages if msg in messages and not allow_duplicate else [*messages, msg]

        self.own.apply(QUEUE + queue, added, [])

    def pop_flash(self, queue: str = "") -> list[Value]:
        """Return the messages of a queue, and take them away."""
        key, shown = QUEUE + queue, self.peek_flash(queue)
        if shown:
            draft = self.own._own
            draft.note_changes_in_place()
            draft.write(Take(key, encode(key, shown)))
            draft.live.pop(key, None)
        return shown

    def peek_flash(self, queue: str = "") -> list[Value]:
        """Return the messages of a queue."""
        return list(self.own.get(QUEUE + queue, []))

    def new_csrf_token(self) -> str:
        """Return another token than before: the session gets a new id."""
        self.own.regenerate_id()
        return csrf_token(self.own)

    def get_csrf_token(self) -> str:
        """Return the token for this session's forms."""
        return csrf_token(self.own)

    def __getitem__(self, key: str) -> Value:
        return self.own[key]

    @hides_arguments
    def __setitem__(self, key: str, value: Value) -> None:
        self.own[key] = value

    def __delitem__(self, key: str) -> None:
        del self.own[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.own)

    def __len__(self) -> int:
        return len(self.own)

    def __contains__(self, key: object) -> bool:
        return key in self.own

    @hides_arguments
    def setdefault(self, key: str, default: Value = None) -> Value:
        """Return what is under *key*, or else keep *default* there: `Session.setdefault`."""
        return self.own.setdefault(key, default)

    def clear(self) -> None:
        """Take everything away. A session left empty so is removed."""
        self.own.clear()

    def popitem(self) -> tuple[str, Value]:
        """Remove the key that came last, and return it with its value."""
        return self.own.popitem()

    def copy(self) -> dict[str, Value]:
        """Return the values as a dict."""
        return self.own.copy()

    def __or__(self, other: Mapping[str, Value]) -> dict[str, Value]:
        return self.own | other

    def __ror__(self, other: Mapping[str, Value]) -> dict[str, Value]:
        return other | self.own if isinstance(other, dict) else NotImplemented

    @hides_arguments
    def __ior__(self, other: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> Self:
        self.own.update(other)
        return self

    def __copy__(self) -> dict[str, Value]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Value]:
        return deepcopy(self.copy(), memo)

    def __reduce_ex__(self, _: SupportsIndex) -> NoReturn:
        raise refusal_to_pickle()


_MISSING = (
    "this request has no Session: wrap the application, as in session(cookie, storage).wsgi(app). "
    "A subrequest or a script makes an environ of its own: give it the session of the request that "
    f"makes it, in environ[{PLACE!r}], or a Session() that nothing saves"
)


@implementer(ICSRFStoragePolicy)
class TokenPolicy:
    """CSRF tokens that are bound to the session: those of `coatcheck.csrf`."""

    def new_csrf_token(self, request: Any) -> str:
        """Return another token than before."""
        token: str = request.session.new_csrf_token()
        return token

    def get_csrf_token(self, request: Any) -> str:
        """Return the token for this session's forms."""
        token: str = request.session.get_csrf_token()
        return token

    def check_csrf_token(self, request: Any, token: object) -> bool:
        """Tell whether the client got *token*, which may be anything, from us."""
        return is_csrf_token(Context(request.environ).get(Session), token)
