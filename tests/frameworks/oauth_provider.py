"""
A small OpenID provider on a real socket: the authorization code flow with PKCE, and nothing more.

    with serving() as provider:
        provider.metadata_url       for the client's registration
        provider.approve(url)       what the user does at that URL; where the browser goes next

Everybody is Ada, and she agrees to everything. What a client must keep between its two requests is
checked here: a code is good once, for its redirect URI, and with its PKCE verifier alone.
"""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import flask
import httpx
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

CLIENT_ID = "the-client"
CLIENT_SECRET = "a secret of the client, with % and :"
USER = {"sub": "ada", "name": "Ada Lovelace", "email": "ada@example.org"}


@dataclass
class Provider:
    """
    What the provider knows.

    Args:
        url: Where it listens.
        asked: The query of each authorization request.
    """

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)

    @property
    def metadata_url(self) -> str:
        """What a client is registered with."""
        return f"{self.url}/.well-known/openid-configuration"

    def approve(self, url: str) -> str:
        """Return where the browser is sent after the user has agreed at *url*."""
        answer = httpx.get(url, timeout=30)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def metadata(self) -> dict[str, Any]:
        """Describe the provider (OpenID Connect Discovery 1.0)."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def authorize(self, query: dict[str, str]) -> Response:
        """Send the browser back with a code."""
        self.asked.append(query)
        if query.get("client_id") != CLIENT_ID or query.get("response_type") != "code":
            return Response("no such client, or another flow", 400)
        code = secrets.token_urlsafe()
        self.codes[code] = query
        back = httpx.URL(query["redirect_uri"]).copy_merge_params(
            {"code": code, "state": query["state"]}
        )
        return flask.redirect(str(back))

    def token(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Return the tokens for a code; None: it is refused."""
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return None
        if "code_challenge" in asked:
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
                return None
        token = secrets.token_urlsafe()
        self.tokens.add(token)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": self._id_token(asked.get("nonce")),
        }

    def _id_token(self, nonce: str | None) -> str:
        now = int(time.time())
        claims = {**USER, "iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 3600}
        if nonce is not None:
            claims["nonce"] = nonce
        return jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)


def application(provider: Provider) -> flask.Flask:
    """Return the provider's web application."""
    app = flask.Flask("provider")

    @app.get("/.well-known/openid-configuration")
    def metadata() -> dict[str, Any]:
        return provider.metadata()

    @app.get("/keys")
    def keys() -> dict[str, Any]:
        return {"keys": [provider.key.as_dict(private=False)]}

    @app.get("/authorize")
    def authorize() -> Response:
        return provider.authorize(flask.request.args.to_dict())

    @app.post("/token")
    def token() -> tuple[dict[str, Any], int]:
        given = flask.request.authorization
        if not given or (given.username, given.password) != (CLIENT_ID, CLIENT_SECRET):
            return {"error": "invalid_client"}, 401
        tokens = provider.token(flask.request.form.to_dict())
        return (tokens, 200) if tokens else ({"error": "invalid_grant"}, 400)

    @app.get("/userinfo")
    def userinfo() -> tuple[dict[str, str], int]:
        given = flask.request.authorization
        if not given or given.token not in provider.tokens:
            return {"error": "invalid_token"}, 401
        return USER, 200

    return app


@contextmanager
def serving() -> Iterator[Provider]:
    """Serve a provider on a free port of 127.0.0.1."""
    provider = Provider()
    server = make_server("127.0.0.1", 0, application(provider), threaded=True)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
