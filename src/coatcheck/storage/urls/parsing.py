"""
The parts of a storage's URL, and errors about it that quote no part of it.

A URL may hold a password, and a password with an unencoded "/", "#" or "?" spills into every other
part: the host, the path, the name of an option. So a message names the scheme, the place in the URL
and the form that is expected there, and never the text that was found.

Source: RFC 3986, 3 (the parts of a URL) and 2.1 (percent-encoding).
"""

import re
import ssl
from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, urlsplit

from coatcheck.errors import ConfigurationError

ENCODE = (
    'the likely cause is a password with an unencoded "/", "#", "?", "@" or "%": percent-encode '
    'it, as "%2F", "%23", "%3F", "%40" or "%25"'
)
"""The end of a message about a URL that has a place for a password."""

LAST_PORT = 65535

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NUMBER = re.compile(r"[0-9]{1,9}")
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+")


def parts_of(url: str, scheme: str, *, server: bool) -> SplitResult:
    """
    Return the parts of *url*, still percent-encoded.

    Args:
        scheme: The scheme of *url*, which is a known one.
        server: Whether a URL of this scheme has a place for a password.

    Raises:
        ConfigurationError: It is no valid URL, or something in it is not percent-encoded.
    """
    hint = ENCODE if server else 'percent-encode "#", "?" and "%": "%23", "%3F", "%25"'
    wrong = _objection(url, server=server)
    parts = None if wrong else _split(url)
    if parts is None:
        raise ConfigurationError(
            f"the {scheme}: URL {wrong or 'must be a valid URL'}; {hint} (the URL is not shown)"
        )
    return parts


def _objection(url: str, *, server: bool) -> str | None:
    """Return what is wrong with the text of a URL, or None."""
    if _CONTROL.search(url) or "%00" in url:
        return "must hold no control character, such as the end of a line"
    if not _is_encoded(url):
        return "must be percent-encoded as UTF-8"
    if "#" in url:
        return 'must hold no "#"'
    place, mark, rest = url.partition("://")
    behind = re.search(r"[/?].*", rest if mark else place, re.DOTALL)
    if server and behind and "@" in behind[0]:
        return 'must hold no "@" behind the host'
    return None


def _is_encoded(url: str) -> bool:
    try:
        unquote(url, errors="strict").encode()
    except ValueError:  # no UTF-8, or a lone surrogate
        return False
    return not _BAD_ESCAPE.search(url)


def _split(url: str) -> SplitResult | None:
    """Return the parts, or None: the message of the error would quote some of them."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def options_of(url: SplitResult) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each option in the query, decoded. A "+" stands for itself."""
    for option in filter(None, url.query.split("&")):
        name, _, text = option.partition("=")
        yield unquote(name), unquote(text)


def hosts_of(url: SplitResult, default_port: int) -> list[tuple[str, int]]:
    """
    Return the hosts and ports of "user:password@host:port,host:port".

    Raises:
        ConfigurationError: There is no host, or one is not "HOST" or "HOST:PORT".
    """
    hosts = []
    for place in filter(None, url.netloc.rpartition("@")[2].split(",")):
        host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        if not colon:
            host, port = place, str(default_port)
        if not _HOST.fullmatch(host) or not 0 < number_of(port, url, "a port") <= LAST_PORT:
            raise ConfigurationError(
                f"each host in a {url.scheme}: URL must be HOST or HOST:PORT, with a port from 1 "
                f"to {LAST_PORT}; {ENCODE}"
            )
        hosts.append((host.strip("[]"), int(port)))
    if not hosts:
        raise ConfigurationError(
            f"a {url.scheme}: URL must have a host, got none: {url.scheme}://HOST:PORT; {ENCODE}"
        )
    return hosts


def one_host_of(url: SplitResult, default_port: int, *, several: str = "") -> tuple[str, int]:
    """
    Return the only host and port.

    Args:
        several: What to do to name more than one; goes into the message.

    Raises:
        ConfigurationError: As `hosts_of`, or there is more than one.
    """
    hosts = hosts_of(url, default_port)
    if len(hosts) > 1:
        raise ConfigurationError(
            f"a {url.scheme}: URL must have one host, got {len(hosts)}{several and ': '}{several}"
        )
    return hosts[0]


def number_of(text: str, url: SplitResult, what: str) -> int:
    """
    Return the number that *text* spells.

    Raises:
        ConfigurationError: It spells none; the message calls it *what*.
    """
    if not _NUMBER.fullmatch(text):
        raise ConfigurationError(f"{what} in a {url.scheme}: URL must be a number; {ENCODE}")
    return int(text)


def account_of(url: SplitResult) -> tuple[str | None, str | None]:
    """Return the user and the password, decoded; None: the URL has none."""
    user, password = url.username, url.password
    return unquote(user) if user else None, unquote(password) if password else None


def check_key(certificate: str | None, key: str | None) -> None:
    """
    Check the certificate and the private key of this client.

    Raises:
        ConfigurationError: One is not there without the other, or they do not fit together.
    """
    if certificate is None and key is None:
        return
    fits = False
    if certificate is not None:
        try:
            ssl.create_default_context().load_cert_chain(certificate, key, password="")
            fits = True
        except (OSError, ValueError):
            pass  # the message would quote the paths
    if not fits:
        raise ConfigurationError(
            "the certificate and the key of this client must be files in PEM that fit together, "
            "and the key must not be encrypted"
        )
