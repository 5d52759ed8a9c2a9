"""
Kill processes while they sign in and out: `python -m tests.roster_kills --kills 500`.

Two processes sign one user in and out of one storage, change ids, and end sessions. One is killed
at a random moment while the other goes on, then the other. Then the storage is opened anew.

    unlisted    a session that lives and is not on the list: a sign-out everywhere would miss it
    survived    a session that lives after `end_all`
"""

# ruff: noqa: T201 - it is a command

import argparse
import asyncio
import itertools
import logging
import os
import signal
import sys
import time
import traceback
from contextlib import nullcontext, suppress
from inspect import isawaitable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from coatcheck import Session, Users
from coatcheck._request.coroutines import run_now
from coatcheck._session.draft import Visitor
from coatcheck._session.ids import tag_of
from coatcheck._session.lifecycle import admit
from coatcheck._session.record import Record, Terms, owner_of, unpack
from coatcheck._session.roster_plans import read
from coatcheck.storage import KeyedStorage
from tests.hosts import COOKIE
from tests.kills import KINDS, Kind
from tests.kills_on_servers import ON_SERVERS, Serve

LONGEST = 0.1
"""Seconds that a process may work before it is killed."""

DEVICES = 3
"""Sessions that one worker has."""

TASKS = 4
"""Tasks of a process over an awaited storage: their calls go out together."""


def in_place(kind: Kind) -> Serve:
    """Return a function for a storage that needs no server."""
    return lambda _: nullcontext(kind)


STORAGES: dict[str, Serve] = {name: in_place(kind) for name, kind in KINDS.items()} | ON_SERVERS


class Findings(NamedTuple):
    """What was found after kills."""

    kills: int
    checked: int
    unlisted: int
    survived: int


class Site:
    """An application over a storage, without HTTP."""

    def __init__(self, storage: KeyedStorage, *, awaited: bool = False) -> None:
        self.storage = storage
        self.users = Users(COOKIE, storage, max_sessions=5)
        rosters = self.users._rosters_of(COOKIE, storage, None)
        self.terms = Terms(owner_of(COOKIE.name), 1000.0, clock=storage.clock, rosters=rosters)
        self._of_sessions: Any = storage.aio if awaited else storage
        self._of_users: Any = self.users.aio if awaited else self.users

    async def session(self, id: str | None) -> Session:
        """Return the session of a request."""
        visitor = Visitor(terms=self.terms, began=self.storage.clock())
        return admit(await done(self._of_sessions.read(id)), self.terms, visitor=visitor)

    async def work(self, random: Random, pipe: int) -> None:
        """Sign in and out on several devices until killed; tell of the first thing done."""
        ids: list[str | None] = [None] * DEVICES
        for count in itertools.count():
            which = random.randrange(DEVICES)
            session = await self.session(ids[which])
            act = random.choice(("in", "in", "in", "id", "out", "end", "all"))
            if act == "in" or session.signed_in is None:
                session.sign_in("u")
            elif act == "id":
                session.regenerate_id()
            elif act == "out":
                session.destroy()
            elif act == "end":
                for each in (await done(self._of_users.sessions_of("u")))[:1]:
                    await done(self._of_users.end("u", each.handle))
            elif random.random() < 0.1:
                await done(self._of_users.end_all("u"))
            kept = await done(self._of_sessions.save(session))
            ids[which] = ids[which] if kept is None else kept or None
            if count == 0:
                with suppress(BrokenPipeError):  # another task told before
                    os.write(pipe, b".")


async def done(answer: Any) -> Any:
    """Return an answer, waiting for it if that is needed."""
    return await answer if isawaitable(answer) else answer


async def at_once(site: Site, random: Random, pipe: int) -> None:
    """Let several tasks of one process work."""
    await asyncio.gather(*(site.work(Random(random.random()), pipe) for _ in range(TASKS)))


def start(kind: Kind, folder: Path, seed: int) -> int:
    """Start a process that works until it is killed; return its pid, once it works."""
    reading, pipe = os.pipe()
    if pid := os.fork():
        os.close(pipe)
        os.read(reading, 1)
        os.close(reading)
        return pid
    try:
        os.close(reading)
        logging.getLogger("coatcheck").setLevel(logging.ERROR)
        site, random = Site(kind.open(folder), awaited=kind.awaited), Random(seed)
        if kind.awaited:
            asyncio.run(at_once(site, random, pipe))
        else:
            run_now(site.work(random, pipe))
    except BaseException:  # it must not go on as a second parent, whatever happens
        traceback.print_exc()
    finally:
        os._exit(1)


def living(kind: Kind, folder: Path) -> set[str]:
    """Return the digests of the sessions of the user that live."""
    found = set()
    for key, data in kind.records(folder):
        kept = unpack(data, tag_of(key)) if data[:1] in (b"\x03", b"\x04", b"\x05") else None
        if isinstance(kept, Record) and kept.body.who and kept.body.who.user == "u":
            found.add(key[-64:])
    return found


def run(kind: Kind, folder: Path, kills: int, random: Random) -> Findings:
    """Kill so many processes, and return what was found."""
    killed = checked = unlisted = survived = 0
    storage = kind.open(folder)
    storage.read("A" * 40)  # one from a URL makes its table now
    storage.close()
    while killed < kills:
        pids = [start(kind, folder, random.getrandbits(32)) for _ in range(2)]
        while pids:
            time.sleep(0.02 + random.uniform(0, LONGEST))
            pid = pids.pop(random.randrange(len(pids)))
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if not os.WIFSIGNALED(status):
                raise RuntimeError("a process ended by itself")
            killed += 1
        storage = kind.open(folder)
        site, lives = Site(storage), living(kind, folder)
        listing = site.users._rosters.of("u", storage.space)
        rows = {row.key.hex() for row in storage._carry_out(read(listing)).rows}
        checked += len(lives)
        unlisted += len(lives - rows)
        site.users.end_all("u")
        survived += len(living(kind, folder))
        storage.close()
    return Findings(killed, checked, unlisted, survived)


def main(arguments: list[str] | None = None) -> int:
    """Print what was found, by storage; return 0 if no session was unlisted or survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.roster_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="for each storage")
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    parser.add_argument("--only", choices=list(STORAGES), default=None, help="this storage alone")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else Random().getrandbits(32)
    print(f"seed {seed}\n")
    print("| storage | kills | sessions checked | unlisted | survived |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    harm = 0
    for name, serve in STORAGES.items():
        if options.only not in (None, name):
            continue
        with TemporaryDirectory(prefix="coatcheck-") as parent:
            folder = Path(parent) / "storage"  # servers that run as another user own it
            folder.mkdir()
            with serve(folder) as kind:
                found = run(kind, folder, options.kills, Random(seed))
        harm += found.unlisted + found.survived
        print(f"| {name} | {' | '.join(map(str, found))} |", flush=True)
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
