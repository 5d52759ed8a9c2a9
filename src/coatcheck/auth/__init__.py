"""
Authentication: schemes recognise the user of a request.

    router = Router(middleware=[
        coatcheck.session(cookie, storage),
        auth(schemes=[
            SessionScheme(verify=users.get, pin=lambda user: user.password_hash),
            BearerScheme(verify=user_of_token, realm="api"),
        ]),
    ])

    context.get(Auth).ok          whether a scheme recognised the request
    context.get(Auth).identity    the identity that verify returned
    require_auth()                middleware that answers 401 if no scheme recognised the request
    require_fresh(300)            middleware that answers 401 if the password was asked too long ago

To sign in is a task of the application: check the password, then call `session.sign_in(user.id,
pin=user.password_hash)`.
"""

from coatcheck.auth.middleware import (
    AuthMiddleware,
    OnFailure,
    RequireAuthMiddleware,
    RequireFreshMiddleware,
    auth,
    require_auth,
    require_fresh,
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
    "RequireFreshMiddleware",
    "Scheme",
    "SessionScheme",
    "Success",
    "auth",
    "require_auth",
    "require_fresh",
]
