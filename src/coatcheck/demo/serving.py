"""Serve the shop: take the port, see that the storage answers, say where to look, and serve."""

import socket
from typing import TYPE_CHECKING

import uvicorn

from coatcheck.demo.accounts import PASSWORD, STAFF
from coatcheck.demo.app import create_app
from coatcheck.demo.checkroom import Checkroom
from coatcheck.demo.rendering import documentation

if TYPE_CHECKING:
    from coatcheck.demo.certificate import Certificate


FEATURES = "DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting"

BINDS = """
  Sessions are bound to the device, in a browser that can do it. Its key is made by secure hardware;
  for a look without that, start Chromium with a profile of its own and keys in software:

    chromium --user-data-dir=$(mktemp -d) \\
      --enable-features={} \\
      --ignore-certificate-errors-spki-list={} \\
      {}/sign-in?next=/devices

  Any other browser warns of the certificate. The page /devices says which sessions are bound.
"""


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens there; port 0 takes a free one.

    Raises:
        OSError: The port is taken, or the host is not this computer's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


async def serve(
    checkroom: Checkroom,
    listener: socket.socket,
    secret: str,
    certificate: "Certificate | None" = None,
) -> None:
    """
    Serve the shop until the process is told to end.

    Args:
        certificate: For HTTPS; None: it is served over plain HTTP.

    Raises:
        BackendError: The storage does not answer; nothing was served.
    """
    try:
        await checkroom.reach()
        https = certificate is not None
        config = uvicorn.Config(
            create_app(checkroom, secret, https=https),
            log_level="warning",
            lifespan="off",
            ssl_certfile=certificate and certificate.certificate,
            ssl_keyfile=certificate and certificate.key,
        )
        url = address(listener, https=https)
        print(greeting(checkroom, url, certificate), flush=True)  # noqa: T201 - a command prints
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        await checkroom.close()


def address(listener: socket.socket, *, https: bool = False) -> str:
    """Return the URL of a listening socket; over HTTPS, by the name in the certificate."""
    host, port = listener.getsockname()[:2]
    if https:
        return f"https://localhost:{port}"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def greeting(checkroom: Checkroom, url: str, certificate: "Certificate | None" = None) -> str:
    """Return what the terminal says."""
    read = documentation() or "docs/index.md in the repository, or make docs"
    bound = "" if certificate is None else BINDS.format(FEATURES, certificate.fingerprint, url)
    return f"""
  The coatcheck demo is open.

    Look      {url}
    Sessions  in {checkroom.kind} ({checkroom.place})
    Sign in   any name, password "{PASSWORD}"; as "{STAFF}" to look at it as somebody else
    Compare   coatcheck demo --storage cookie: (its parallel page shows what cookies lose)
    Read      {read}
    End       Ctrl+C
{bound}"""
