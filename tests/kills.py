"""
Kill processes while they write, and look what is lost: `python -m tests.kills --kills 1000`.

Two processes write to one storage, and tell through a pipe what they begin and what is done. One is
killed at a random moment, in the middle of whatever it does, while the other goes on; then the
other, so that nobody is left to mend anything. After each kill the storage is opened anew.

    torn    a record that cannot be read, or that holds parts of two writes
    lost    a write that was done and is not there, or a session that ended and is there again
"""

# ruff: noqa: T201 - it is a command

import argparse
import os
import select
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from coatcheck import Session
from coatcheck._session.ids import tag_of
from coatcheck._session.record import Unreadable, WrongKey, unpack
from coatcheck.storage import FileStorage, KeyedStorage, SqliteStorage
from tests.killed_writer import Ledger, is_whole, work

LONGEST = 0.02
"""Seconds that a process may write before it is killed."""

HASTE = 0.1
"""The share of rounds that do not wait for a first write: a kill may meet a process that opens."""


class Kind(NamedTuple):
    """
    A storage of that kind.

    Args:
        open: Opens it.
        records: Yields all of its records with their keys, read beside it.
        awaited: Its awaited form is to be used, by several tasks at once.
    """

    open: Callable[[Path], KeyedStorage]
    records: Callable[[Path], Iterator[tuple[str, bytes]]]
    awaited: bool = False


def records_in_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every record; temporary files of killed writers are none."""
    for path in folder.glob("[0-9a-f][0-9a-f]/*"):
        if path.suffix != ".tmp":
            yield path.name, path.read_bytes()[8:]


def records_in_sqlite(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every record of a database that finds no fault with itself."""
    database = sqlite3.connect(folder / "db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    yield from database.execute("SELECT key, record FROM coatcheck_sessions")
    database.close()


KINDS = {
    "FileStorage": Kind(FileStorage, records_in_files),
    "SqliteStorage": Kind(lambda folder: SqliteStorage(folder / "db"), records_in_sqlite),
}


@dataclass
class Findings:
    """What was found after kills."""

    kills: int = 0
    in_flight: int = 0
    """Kills that met a write which had begun and was not done."""
    checked: int = 0
    torn: int = 0
    lost: int = 0


@dataclass
class Writer:
    """A process that writes, and what it told."""

    pid: int
    pipe: int
    ledger: Ledger = field(default_factory=Ledger)
    _rest: bytes = b""

    def hear(self) -> bool:
        """Take down what it told since; False when there will be no more."""
        said = os.read(self.pipe, 65536)
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            self.ledger.note(*line.decode().split())
        return bool(said)

    def kill(self) -> None:
        """End it where it is, and hear the last of it."""
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSIGNALED(status):
            raise RuntimeError("a writer ended by itself")
        while self.hear():
            pass
        os.close(self.pipe)


def writer(kind: Kind, folder: Path, shared: str, seed: int) -> Writer:
    """Start a process that writes until it is killed."""
    reading, writing = os.pipe()
    if pid := os.fork():
        os.close(writing)
        return Writer(pid, reading)
    try:
        os.close(reading)  # so that it does not wait for a reader who is gone
        work(kind.open(folder), shared, Random(seed), writing)
    except BaseException:  # it must not go on as a second parent, whatever happens
        traceback.print_exc()
    finally:
        os._exit(1)


def hear_for(seconds: float, writers: list[Writer]) -> None:
    """Listen to writers, so that none waits with a full pipe."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for ready in select.select([each.pipe for each in writers], [], [], left)[0]:
            if not next(each for each in writers if each.pipe == ready).hear():
                raise RuntimeError("a writer ended by itself")


def check(storage: KeyedStorage, ledger: Ledger, findings: Findings) -> None:
    """Look for all that a writer had done, then end its sessions: nothing may block that."""
    findings.checked += ledger.done
    findings.in_flight += ledger.pending is not None
    for value in ledger.ended:
        findings.lost += storage.read(value).get("number") is not None
    for slot, (value, _) in ledger.kept.items():
        session = storage.read(value)
        findings.lost += session.get("number") not in ledger.allowed(slot)
        findings.torn += not is_whole(session)
        if "number" in session:
            session["seen"] = True
            storage.save(session)
            findings.lost += not storage.read(value).get("seen")
            end(storage, value)
            findings.lost += "seen" in storage.read(value)


def end(storage: KeyedStorage, value: str) -> None:
    session = storage.read(value)
    session.destroy()
    storage.save(session)


def run(kind: Kind, folder: Path, kills: int, random: Random) -> Findings:
    """Kill so many writers, and return what was found."""
    findings = Findings()
    storage = kind.open(folder)
    shared = storage.save(counted(storage.read(None)))
    storage.close()
    assert shared
    while findings.kills < kills:
        before = count_in(kind, folder, shared)
        writers = [writer(kind, folder, shared, random.getrandbits(32)) for _ in range(2)]
        ledgers = [each.ledger for each in writers]
        try:
            kill_all(writers, kind, folder, random, findings)
        finally:
            for left in writers:  # if something went wrong
                left.kill()
        surely = before + sum(ledger.counted for ledger in ledgers)
        perhaps = surely + sum(ledger.is_counting for ledger in ledgers)
        findings.lost += not surely <= count_in(kind, folder, shared) <= perhaps
        findings.torn += sum(not readable(*each) for each in kind.records(folder))
    return findings


def kill_all(
    writers: list[Writer], kind: Kind, folder: Path, random: Random, findings: Findings
) -> None:
    """Kill one after the other, and look each time what it left."""
    waits = random.random() >= HASTE
    while waits and not all(each.ledger.done for each in writers):
        hear_for(0.001, writers)
    while writers:
        hear_for(random.uniform(0, LONGEST), writers)
        killed = writers.pop(random.randrange(len(writers)))
        killed.kill()
        findings.kills += 1
        storage = kind.open(folder)
        check(storage, killed.ledger, findings)
        storage.close()


def counted(session: Session) -> Session:
    session["count"] = 0
    return session


def count_in(kind: Kind, folder: Path, shared: str) -> int:
    storage = kind.open(folder)
    count = storage.read(shared).get("count", -1)
    storage.close()
    assert isinstance(count, int)
    return count


def readable(key: str, record: bytes) -> bool:
    try:
        unpack(record, tag_of(key))
    except (Unreadable, WrongKey):
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Print what was found, by storage; return 0 if nothing was torn or lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="for each storage")
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else Random().getrandbits(32)
    print(f"seed {seed}\n", flush=True)
    print("| storage | kills | in the middle of a write | writes checked | torn | lost |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    harm = 0
    for name, kind in KINDS.items():
        with TemporaryDirectory(prefix="coatcheck-") as folder:
            found = run(kind, Path(folder), options.kills, Random(seed))
        harm += found.torn + found.lost
        cells = [name, found.kills, found.in_flight, found.checked, found.torn, found.lost]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return 1 if harm else 0


if __name__ == "__main__":
    sys.exit(main())
