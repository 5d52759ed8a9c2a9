"""
Kill processes while they sign in and out: `python -m tests.roster_kills --kills 500`.

Two processes sign one user in and out of one storage, change ids, and end sessions. One is killed
at a random moment while the other goes on, then the other. Then the storage is opened anew.

    unlisted    a session that lives and is not on the list: a sign-out everywhere would miss it
    survived    a session that lives after `end_all`
"""

# ruff: noqa: T201 - it is a command

import argparse
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from coatcheck import Session, Users
from coatcheck._session.draft import Visitor
from coatcheck._session.ids import tag_of
from coatcheck._session.lifecycle import admit
from coatcheck._session.record import Record, Terms, owner_of, unpack
from coatcheck._session.roster_plans import read
from coatcheck.storage import KeyedStorage
from tests.hosts import COOKIE
from tests.kills import KINDS, Kind

LONGEST = 0.1
"""Seconds that a process may work before it is killed."""


class Findings(NamedTuple):
    """What was found after kills."""

    kills: int
    checked: int
    unlisted: int
    survived: int


class Site:
    """An application over a storage, without HTTP."""

    def __init__(self, storage: KeyedStorage) -> None:
        self.storage = storage
        self.users = Users(COOKIE, storage, max_sessions=5)
        rosters = self.users._rosters_of(COOKIE, storage, None)
        self.terms = Terms(owner_of(COOKIE.name), 1000.0, clock=storage.clock, rosters=rosters)

    def session(self, id: str | None) -> Session:
        """Return the session of a request."""
        visitor = Visitor(terms=self.terms, began=self.storage.clock())
        return admit(self.storage.read(id), self.terms, visitor=visitor)

    def work(self, random: Random) -> None:
        """Sign in and out until killed."""
        id: str | None = None
        while True:
            session = self.session(id)
            act = random.choice(("in", "in", "in", "id", "out", "end", "all"))
            if act == "in" or session.signed_in is None:
                session.sign_in("u")
            elif act == "id":
                session.regenerate_id()
            elif act == "out":
                session.destroy()
            elif act == "end":
                for each in self.users.sessions_of("u")[:1]:
                    self.users.end("u", each.handle)
            elif random.random() < 0.1:
                self.users.end_all("u")
            kept = self.storage.save(session)
            id = id if kept is None else kept or None


def start(kind: Kind, folder: Path, seed: int) -> int:
    """Start a process that works until it is killed; return its pid."""
    if pid := os.fork():
        return pid
    try:
        logging.getLogger("coatcheck").setLevel(logging.ERROR)
        Site(kind.open(folder)).work(Random(seed))
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
    kind.open(folder).close()
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
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else Random().getrandbits(32)
    print(f"seed {seed}\n")
    print("| storage | kills | sessions checked | unlisted | survived |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    harm = 0
    for name, kind in KINDS.items():
        with TemporaryDirectory(prefix="coatcheck-") as folder:
            found = run(kind, Path(folder), options.kills, Random(seed))
        harm += found.unlisted + found.survived
        print(f"| {name} | {' | '.join(map(str, found))} |", flush=True)
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
