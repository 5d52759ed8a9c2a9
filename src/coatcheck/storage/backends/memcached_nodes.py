"""
The nodes of Memcached: their addresses, and the one that holds a key.

The node of a key is picked by rendezvous hashing over the nodes' names. So a node that is added or
lost moves its own sessions and no others.
"""

import re
from collections.abc import Callable, Coroutine, Sequence
from hashlib import blake2b
from typing import Any

from coatcheck.storage.arguments import is_url, not_of_form
from coatcheck.storage.backends.async_memcached_node import AsyncNode
from coatcheck.storage.backends.memcached_commands import Command, Reply
from coatcheck.storage.backends.memcached_node import Address, Node
from coatcheck.storage.backends.per_loop import PerLoop
from coatcheck.storage.backends.per_process import PerProcess

_NODE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\[\]]+):(?P<port>\d{1,5})|(?P<path>/.+)")


def picker(*nodes: str) -> Callable[[str], str]:
    """Return the function that picks the node of a key: the one that scores highest with it."""
    if len(nodes) == 1:
        return lambda _: nodes[0]

    def pick(key: str) -> str:
        return max(
            nodes, key=lambda node: blake2b(f"{node} {key}".encode(), digest_size=8).digest()
        )

    return pick


class Nodes(PerProcess[dict[str, Node]]):
    """The nodes by name, with connections of their own for each process."""

    def __init__(self, names: Sequence[str], timeout: float) -> None:
        addresses = {name: _address(name) for name in names}

        def open() -> dict[str, Node]:
            return {name: Node(address, timeout) for name, address in addresses.items()}

        def release(nodes: dict[str, Node]) -> None:
            for node in nodes.values():
                node.close()

        super().__init__(open, release)

    def ask(self, name: str, command: Command) -> Reply:
        """Return the answer of a node to a command; see `Node.ask`."""
        return self.get()[name].ask(command)


class AsyncNodes(PerLoop[dict[str, AsyncNode]]):
    """The nodes by name, with connections of their own for each event loop."""

    def __init__(self, names: Sequence[str], timeout: float) -> None:
        addresses = {name: _address(name) for name in names}

        async def open() -> dict[str, AsyncNode]:
            return {name: AsyncNode(address, timeout) for name, address in addresses.items()}

        async def release(nodes: dict[str, AsyncNode]) -> None:
            for node in nodes.values():
                await node.close()

        super().__init__(open, release)

    # A coroutine of its own would be one more to step through for each answer.
    def ask(self, name: str, command: Command) -> Coroutine[Any, Any, Reply]:
        """Return the answer of a node to a command; see `AsyncNode.ask`."""
        nodes = self.peek()
        return nodes[name].ask(command) if nodes else self._open_and_ask(name, command)

    async def _open_and_ask(self, name: str, command: Command) -> Reply:
        return await (await self.get())[name].ask(command)


def _address(name: str) -> Address:
    """Return where a node listens: host and port, or the path of a socket."""
    parts = _NODE.fullmatch(name) if isinstance(name, str) and not is_url(name) else None
    if not parts or int(parts["port"] or 1) not in range(1, 65536):
        raise not_of_form("each of nodes", "'host:port' or the '/path' of a socket", name)
    return parts["path"] or (parts["host"].strip("[]"), int(parts["port"]))
