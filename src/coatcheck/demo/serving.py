"""Serve the shop: take the port, see that the storage answers, say where to look, and serve."""

import socket

import uvicorn

from coatcheck.demo.accounts import PASSWORD, STAFF
from coatcheck.demo.app import create_app
from coatcheck.demo.checkroom import Checkroom


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens there; port 0 takes a free one.

    Raises:
        OSError: The port is taken, or the host is not this computer's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


async def serve(checkroom: Checkroom, listener: socket.socket, secret: str) -> None:
    """
    Serve the shop until the process is told to end.

    Raises:
        BackendError: The storage does not answer; nothing was served.
    """
    try:
        await checkroom.reach()
        config = uvicorn.Config(create_app(checkroom, secret), log_level="warning", lifespan="off")
        print(greeting(checkroom, address(listener)), flush=True)  # noqa: T201 - a command prints
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        await checkroom.close()


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def greeting(checkroom: Checkroom, url: str) -> str:
    """Return what the terminal says."""
    return f"""
  The coatcheck demo is open.

    Look      {url}
    Sessions  in {checkroom.kind} ({checkroom.place})
    Sign in   any name, password "{PASSWORD}"; as "{STAFF}" to look at it as somebody else
    End       Ctrl+C
"""
