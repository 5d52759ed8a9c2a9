"""
Whether a request comes from a page of this application: Sec-Fetch-Site first, else Origin.

    safe method                         passes, but a handshake of a WebSocket is checked
    Sec-Fetch-Site: same-origin, none   passes: no page of another site made it
    Sec-Fetch-Site: anything else       refused, unless its Origin is trusted
    no Sec-Fetch-Site, no Origin        passes: no browser sends neither with an unsafe method
    Origin with the host of the request passes
    any other Origin                    refused, unless it is trusted

Pure. Source: the `CrossOriginProtection` of Go's net/http, and
https://words.filippo.io/csrf (why this is enough in browsers since 2020).
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from coatcheck.errors import ConfigurationError

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""


class Facts(msgspec.Struct, frozen=True):
    """The parts of a request that a decision reads; a missing header is ""."""

    method: str
    path: str
    host: str
    origin: str
    site: str
    websocket: bool = False


class Rules(msgspec.Struct, frozen=True):
    """
    Which requests of other origins may pass.

    Args:
        trusted: Origins, as browsers write them: "https://pay.example".
        bypass: Beginnings of paths that are not checked.
    """

    trusted: frozenset[str] = frozenset()
    bypass: tuple[str, ...] = ()

    def refuses(self, facts: Facts) -> bool:
        """Tell whether a request is to be refused."""
        if facts.method in SAFE and not facts.websocket:
            return False
        if self.bypass and facts.path.startswith(self.bypass):
            return False
        return not (_is_own(facts) or facts.origin in self.trusted)


def _is_own(facts: Facts) -> bool:
    if facts.site:
        return facts.site in ("same-origin", "none")
    if not facts.origin:
        return True
    try:
        return bool(facts.host) and urlsplit(facts.origin).netloc.lower() == facts.host.lower()
    except ValueError:
        return False


def rules_of(trusted: object, bypass: object) -> Rules:
    """
    Return the rules that these arguments stand for.

    Raises:
        ConfigurationError: They are no origins, or no paths.
    """
    origins = _several("trusted", trusted, 'origins such as "https://pay.example"')
    for origin in origins:
        parts = urlsplit(origin)
        if (
            not parts.hostname
            or "*" in origin
            or origin != f"{parts.scheme}://{parts.netloc}".lower()
        ):
            raise ConfigurationError(
                f'trusted must hold origins such as "https://pay.example", got {origin!r}: a '
                "scheme, a host in lower case without '*', a port if it is not the usual one, and "
                "no path"
            )
    paths = _several("bypass", bypass, 'paths such as "/hooks/"')
    for path in paths:
        if not path.startswith("/"):
            raise ConfigurationError(f'bypass must hold paths such as "/hooks/", got {path!r}')
    return Rules(frozenset(origins), tuple(paths))


def _several(name: str, given: object, what: str) -> Sequence[str]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        got = f"one text: write {name}=({given!r},)" if isinstance(given, str) else repr(given)
        raise ConfigurationError(f"{name} must hold {what}, got {got}")
    for each in given:
        if not isinstance(each, str):
            raise ConfigurationError(f"{name} must hold {what}, got {each!r}")
    return given
