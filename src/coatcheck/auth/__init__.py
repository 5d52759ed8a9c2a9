"""
Authentication: schemes recognise the user of a request.

    router = Router(middleware=[
        session(cookie, storage),
        auth(schemes=[
            SessionScheme(read=lambda session: session.get("user_id"), verify=users.get),
            BearerScheme(verify=user_of_token, realm="api"),
        ]),
    ])

    context.get(Auth).ok          whether a scheme recognised the request
    context.get(Auth).identity    the identity that verify returned
    require_auth()                middleware that answers 401 if no scheme recognised the request

To sign in is a task of the application: check the password, keep the id of the user in the session,
call `session.regenerate_id()`.
"""

from coatcheck.auth.middleware import (
    AuthMiddleware,
    OnFailure,
    RequireAuthMiddleware,
    auth,
    require_auth,
)
from coatcheck.auth.schemes import ApiKeyScheme, BearerScheme, SessionScheme
from coatcheck.auth.states import Auth, Failure, Scheme, Success

__all__ = [
    "ApiKeyScheme",
    "Auth",
    "AuthMiddleware",
    "BearerScheme",
    "Failure",
    "OnFailure",
    "RequireAuthMiddleware",
    "Scheme",
    "SessionScheme",
    "Success",
    "auth",
    "require_auth",
]
