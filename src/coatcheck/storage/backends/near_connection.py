"""
A connection to Redis that also tells which records changed: client tracking, in broadcast mode.

    HELLO 3                                              messages come between the answers
    CLIENT TRACKING ON BCAST NOLOOP PREFIX <prefix>      about all changes but this connection's own
    PING                                                 its answer comes after what was told before

Messages and answers come in the order in which all that happened in the server. So copies are kept
and dropped in that order, where the answers are read: no message is overtaken, and a record that
this connection wrote is kept. NOLOOP does not hold for scripts, though: on servers before Redis 8.4
and Valkey 8.1, where a write is a script, a message about it follows its answer and drops the copy.

The copies belong to the connection, and end with it.

Source: https://redis.io/docs/latest/develop/reference/client-side-caching/
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from coatcheck.storage.backends.near import PROOFS, Copies, Near
from coatcheck.storage.backends.redis_commands import there_after
from coatcheck.storage.backends.redis_wire import RedisConnection, is_refusal


class NearConnection(RedisConnection):
    """
    A connection with the copies of what was read and written over it.

    Args:
        near: How much is kept.
        stream, timeout: See `RedisConnection`.
    """

    def __init__(self, near: Near, stream: asyncio.StreamWriter, timeout: float | None) -> None:
        super().__init__(stream, timeout)
        self.copies = Copies(near, clock=self._loop.time)
        self._proof: asyncio.TimerHandle | None = None

    async def track(self, prefix: str) -> None:
        """
        Let the server tell of changes from now on.

        Raises:
            hiredis.ReplyError: It does not.
        """
        await self._told("HELLO", "3")
        named = ("PREFIX", prefix) if prefix else ()
        await self._told("CLIENT", "TRACKING", "ON", "BCAST", "NOLOOP", *named)
        self._prove()

    def pushed(self, message: Sequence[Any]) -> None:
        if message[0] != b"invalidate":
            return
        try:
            self.copies.drop([key.decode() for key in message[1]])
        except (TypeError, UnicodeDecodeError):  # FLUSHALL or FLUSHDB; a client with other texts
            self.copies.clear()

    def take(self, answer: object) -> None:
        if (command := self.oldest) and (effect := there_after(command, answer)):
            self.copies.put(*effect)
        super().take(answer)

    def bypassed(self) -> None:
        # The message about that write may come after a request that knows of it.
        self.copies.lose()

    def close(self) -> None:
        super().close()
        self.copies.lose()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.copies.lose()
        if self._proof is not None:
            self._proof.cancel()

    async def _told(self, *command: str) -> None:
        answer = await self.send(command)
        if is_refusal(answer):
            raise answer

    def _prove(self) -> None:
        """Ask for a proof that the server told all, now and again."""
        if not self.is_open:
            return
        asked_at = self.copies.clock()
        self.send(("PING",)).add_done_callback(partial(self._proved, asked_at))

    def _proved(self, asked_at: float, proof: "asyncio.Future[Any]") -> None:
        if proof.cancelled() or proof.exception() is not None or is_refusal(proof.result()):
            return
        copies = self.copies
        copies.prove(asked_at)
        self._proof = self._loop.call_at(asked_at + copies.max_stale / PROOFS, self._prove)
