"""
Decorators for Django's views, over the sign-in that `request.session.signed_in` tells.

    @require_fresh(300, on_stale=lambda request: redirect("confirm"))
    def change_password(request): ...

They need the engine `coatcheck.frameworks.django`, with `user_key` in `COATCHECK_OPTIONS`. Views
may be plain or `async def`.
"""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from django.http import HttpResponse

from coatcheck._request.bound_guard import refusal
from coatcheck._request.options import check_seconds, fresh_challenge
from coatcheck._session.sign_in import SignIn
from coatcheck.errors import ConfigurationError
from coatcheck.storage.arguments import Duration

__all__ = ["require_auth", "require_bound", "require_fresh"]

View = TypeVar("View", bound=Callable[..., Any])

Refuse = Callable[[Any], Any]
"""A function of the request that returns the response to a visitor who may not see a view."""


def require_auth(on_failure: Refuse | None = None) -> Callable[[View], View]:
    """
    Return a decorator for views of signed-in users.

    Args:
        on_failure: Returns the response to all others, from the request; None: 401.
    """
    return _only_if(bool, on_failure, "Session")


def require_fresh(seconds: Duration, *, on_stale: Refuse | None = None) -> Callable[[View], View]:
    """
    Return a decorator for views of users who confirmed a short time ago.

    Args:
        seconds: How long `request.session.confirm()` counts, in seconds or as a timedelta.
        on_stale: Returns the response to all others, from the request, such as a redirect to the
            page that asks for the password again; None: 401.

    Raises:
        ConfigurationError: *seconds* is not above 0.
    """
    most = check_seconds("seconds", seconds)
    return _only_if(lambda signed_in: signed_in.is_fresh(most), on_stale, fresh_challenge(most))


def require_bound() -> Callable[[View], View]:
    """
    Return a decorator for views of sessions that are bound to a device: `coatcheck.require_bound`.

    It needs `bound` in `COATCHECK_OPTIONS`.
    """

    def decorated(view: View) -> View:
        if iscoroutinefunction(view):

            @wraps(view)
            async def awaited(request: Any, *args: Any, **kwargs: Any) -> Any:
                session = await _ours(request)._aget_session()
                return refused(session, request) or await view(request, *args, **kwargs)

            return cast("View", awaited)

        @wraps(view)
        def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
            session = _ours(request)._session
            return refused(session, request) or view(request, *args, **kwargs)

        return cast("View", guarded)

    def refused(session: object, request: Any) -> Any:
        answer = refusal(session, request.method)
        return answer and HttpResponse(
            answer.body, status=answer.status, headers=dict(answer.headers)
        )

    return decorated


def _only_if(
    passes: Callable[[SignIn], bool], refuse: Refuse | None, challenge: str
) -> Callable[[View], View]:
    """Return a decorator for views that users may see whose sign-in *passes*."""

    def decorated(view: View) -> View:
        if iscoroutinefunction(view):

            @wraps(view)
            async def awaited(request: Any, *args: Any, **kwargs: Any) -> Any:
                signed_in = await _ours(request).asigned_in()
                if signed_in is not None and passes(signed_in):
                    return await view(request, *args, **kwargs)
                response = refused(request)
                return await response if hasattr(response, "__await__") else response

            return cast("View", awaited)

        @wraps(view)
        def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
            signed_in = _ours(request).signed_in
            if signed_in is not None and passes(signed_in):
                return view(request, *args, **kwargs)
            return refused(request)

        return cast("View", guarded)

    def refused(request: Any) -> Any:
        if refuse is not None:
            return refuse(request)
        return HttpResponse(status=401, headers={"WWW-Authenticate": challenge})

    return decorated


def _ours(request: Any) -> Any:
    """Return the session of a request, which tells who is signed in."""
    session = getattr(request, "session", None)
    if not hasattr(session, "asigned_in"):
        raise ConfigurationError(
            f"request.session must be one of coatcheck, got {type(session).__name__}: "
            "set SESSION_ENGINE = 'coatcheck.frameworks.django'"
        )
    return session
