"""
Sessions in Litestar: a plugin, the session as a dependency, and guards.

    app = Litestar([cart, account], plugins=[SessionPlugin(cookie, storage)])

    @get("/cart")
    async def cart(session: SessionDep) -> list[str]: ...

    @get("/account", guards=[requires_sign_in])
    async def account(session: SessionDep) -> str: ...

    @post("/password", guards=[requires_fresh(300)])
    async def change(session: SessionDep) -> str: ...

`request.session` and `socket.session` are the same session. Litestar's own words work, too:
`set_session`, `clear_session`, a handler that returns the session, and the FlashPlugin, if it comes
after ours in the list of plugins.
"""

from copy import copy
from typing import Any, Unpack, cast

from litestar import route
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin
from litestar.types import Guard, Scope

from coatcheck._cookie.cookie import Cookie
from coatcheck._request.async_shell import AsyncShell
from coatcheck._request.bound_guard import SAYS, refusal, reloads
from coatcheck._request.cycle import Cycle
from coatcheck._request.options import Options, check_seconds, fresh_challenge
from coatcheck._session.session import Data, Session
from coatcheck.asgi import Scope as ASGIScope
from coatcheck.context import Context
from coatcheck.frameworks.litestar_middleware import PluginMiddleware
from coatcheck.storage.arguments import Duration
from coatcheck.storage.protocol import SessionStorage

SCHEME = "session"
"""The name of the security scheme in the OpenAPI document: `security=[{SCHEME: []}]`."""


SessionDep = NamedDependency[Session[Data]]
"""The session, for a parameter named `session`; `SessionDep[Visit]` if it is typed."""


class SessionPlugin(InitPlugin):
    """
    Sessions for an application, around its other middleware.

    Handlers, guards and dependencies get the session by the name `session`. What the storage opened
    is closed when the application shuts down.

    Args:
        exclude: A pattern, or several, of paths that have no sessions, as in Litestar's own set-up.
        exclude_opt_key: The key of a handler's `opt` by which it has none.
        options: Those of `coatcheck.session`.

    Raises:
        ConfigurationError: The cookie is not sealed, or an option makes no sense.
    """

    def __init__(
        self,
        cookie: Cookie,
        storage: SessionStorage,
        *,
        exclude: str | list[str] | None = None,
        exclude_opt_key: str | None = "skip_session",
        **options: Unpack[Options],
    ) -> None:
        self._cycle = Cycle(cookie, storage, **options)
        self._exclude, self._exclude_opt_key = exclude, exclude_opt_key

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware, the dependency, the end of the storage and the OpenAPI scheme."""
        app_config.middleware.insert(
            0,
            DefineMiddleware(
                PluginMiddleware,
                cycle=self._cycle,
                exclude=self._exclude,
                exclude_opt_key=self._exclude_opt_key,
            ),
        )
        if self._cycle.device is not None:  # Litestar runs middleware only where there is a handler
            paths = list(self._cycle.device.paths)
            app_config.route_handlers.append(
                route(paths, http_method=["GET", "POST"], include_in_schema=False)(_bind)
            )
        app_config.type_encoders = {Session: dict, **(app_config.type_encoders or {})}
        app_config.dependencies.setdefault("session", Provide(get_session, sync_to_thread=False))
        app_config.signature_namespace.setdefault("Session", Session)
        app_config.signature_namespace.setdefault("SessionDep", SessionDep)
        app_config.on_shutdown.append(self._close)
        if config := app_config.openapi_config:  # a copy: the default one is everybody's
            given = config.components
            components = given if isinstance(given, list) else [given]
            ours = Components(security_schemes={SCHEME: self._described()})
            app_config.openapi_config = copy(config)
            app_config.openapi_config.components = [*components, ours]
        return app_config

    def _described(self) -> SecurityScheme:
        return SecurityScheme(
            type="apiKey", name=self._cycle.cookie.name, security_scheme_in="cookie"
        )

    async def _close(self) -> None:
        """Release what the storage opened: Litestar hides the lifespan from middleware."""
        await AsyncShell(self._cycle).close()


async def _bind() -> None:
    """Stand for the requests of a browser that binds sessions: the middleware answers them."""


def get_session(scope: Scope) -> Session:
    """
    Return the session of a request or a WebSocket.

    Raises:
        ConfigurationError: There is none: the plugin is missing.
    """
    return Context(cast("ASGIScope", scope)).get(Session)


def requires_session(key: str) -> Guard:
    """Return a guard that lets through whose session has *key*, and answers 401 to all others."""

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if key not in get_session(connection.scope):
            raise NotAuthorizedException

    return guard


def requires_sign_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """
    Let through who signed in by `session.sign_in`, and answer 401 to all others: a guard.

    Raises:
        NotAuthorizedException: No user is signed in.
    """
    if get_session(connection.scope).signed_in is None:
        raise NotAuthorizedException


def requires_fresh(seconds: Duration) -> Guard:
    """
    Return a guard that lets through who signed in or confirmed a short time ago; others get 401.

    Args:
        seconds: How long a sign-in or `session.confirm()` counts, in seconds or as a timedelta.

    Raises:
        ConfigurationError: *seconds* is not above 0.
    """
    most = check_seconds("seconds", seconds)

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        signed_in = get_session(connection.scope).signed_in
        if signed_in is None or not signed_in.is_fresh(most):
            raise NotAuthorizedException(
                "Confirm who you are", headers={"WWW-Authenticate": fresh_challenge(most)}
            )

    return guard


def requires_bound(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """
    Let through who proved the device of a bound session: a guard, see `coatcheck.require_bound`.

    Raises:
        PermissionDeniedException: The session is not bound, and `Bound(required=True)` asks for it.
        ConfigurationError: The plugin is missing, or has no `bound`.
    """
    answer = refusal(get_session(connection.scope), str(connection.scope.get("method", "")))
    if answer is not None:
        raise PermissionDeniedException(SAYS, headers=reloads(answer))
