"""Redis and Valkey in the forms that scale out, and those that refuse: on ports of 127.0.0.1."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.certificates import Certificate
from tests.servers import Server, answers, find, free_port, run, wait_until

NODE_TIMEOUT = 500
"""Milliseconds after which a node that does not answer counts as gone."""

HASTE = ("INFO-PERIOD", 1000, "ASK-PERIOD", 200, "PUBLISH-PERIOD", 250, "TILT-TRIGGER", 20_000)
"""
How often Sentinels ask and tell, in milliseconds; by default a failover takes them ten seconds.

More haste is less speed: a server that did not answer for some of these periods is not elected.
"""


class Node(NamedTuple):
    """A server, and its port."""

    port: int
    server: Server

    def ask(self, *command: object) -> Any:
        """
        Send a command, and return its answer.

        A server whose role changes closes its connections, also one that it has not greeted yet.
        redis-py 5 does not connect again after that, so it is begun anew here.
        """

        def once() -> Any:
            never = Retry(NoBackoff(), 0)
            with redis.Redis(port=self.port, socket_timeout=5, retry=never) as client:
                return client.execute_command(*command)

        return Retry(NoBackoff(), 3).call_with_retry(once, lambda _: None)


@contextmanager
def node(
    folder: Path, *options: str, program: str | None = None, port: int | None = None
) -> Iterator[Node]:
    """Run a server that keeps nothing on disk."""
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    command = [program or find("redis-server"), "--bind", "127.0.0.1", "--dir", str(folder)]
    if "--port" not in options:
        command += ["--port", str(port)]
    command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", *options]
    with Server(*command, ready=lambda: answers(port)) as running:
        yield Node(port, running)


@contextmanager
def cluster(folder: Path, *, program: str | None = None, replicas: int = 1) -> Iterator[list[Node]]:
    """Run three masters and so many replicas of each, the masters first."""
    with ExitStack() as stack:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT)]
        nodes = [
            stack.enter_context(node(folder / str(number), *options, program=program))
            for number in range(3 + 3 * replicas)
        ]
        places = [f"127.0.0.1:{each.port}" for each in nodes]
        create = [find("redis-cli"), "--cluster", "create", *places]
        create += ["--cluster-replicas", str(replicas)]
        run(*create, "--cluster-yes")
        wait_until(lambda: all(is_whole(each, len(nodes)) for each in nodes))
        yield nodes


def is_whole(node: Node, size: int = 6) -> bool:
    """Tell whether a node sees a whole cluster, with its replica in step if it is to have one."""
    info = str(node.ask("CLUSTER", "INFO"))
    replication = node.ask("INFO", "replication")
    if replication["role"] == "master":
        linked = size == 3 or replication.get("slave0", {}).get("state") == "online"
    else:
        linked = replication["master_link_status"] == "up"
    return (
        "cluster_state:ok" in info
        and linked
        and str(node.ask("CLUSTER", "NODES")).count("connected") >= size
    )


class Watch(NamedTuple):
    """A master, its replica, and the Sentinels that watch them."""

    master: Node
    replica: Node
    sentinels: Sequence[Node]


@contextmanager
def sentinel(folder: Path, *, program: str | None = None) -> Iterator[Watch]:
    """Run a master named "mymaster", a replica in step with it, and three Sentinels."""
    with ExitStack() as stack:
        master = stack.enter_context(node(folder / "master", program=program))
        follow = ["--replicaof", "127.0.0.1", str(master.port)]
        replica = stack.enter_context(node(folder / "replica", *follow, program=program))
        wait_until(lambda: "online" in str(master.ask("INFO", "replication")))
        sentinels = []
        for number in range(3):
            place, port = folder / f"sentinel{number}", free_port()
            place.mkdir()
            config = place / "sentinel.conf"
            config.write_text(
                f"port {port}\n"
                f"sentinel monitor mymaster 127.0.0.1 {master.port} 2\n"
                f"sentinel down-after-milliseconds mymaster {NODE_TIMEOUT}\n"
                "sentinel failover-timeout mymaster 3000\n"
            )
            command = [program or find("redis-server"), str(config), "--sentinel"]
            running = Server(*command, ready=partial(answers, port))
            sentinels.append(Node(port, stack.enter_context(running)))
            sentinels[-1].ask("SENTINEL", "DEBUG", *HASTE)
        wait_until(lambda: all(_knows_all(each) for each in sentinels))
        yield Watch(master, replica, sentinels)


def _knows_all(node: Node) -> bool:
    found = node.ask("INFO", "sentinel")["master0"]
    return bool(found["sentinels"] == 3 and found["slaves"] == 1)


def tls_options(port: int, found: Certificate) -> list[str]:
    """Return the options of a server that speaks TLS on that port."""
    files = ["--tls-cert-file", str(found.certificate), "--tls-key-file", str(found.key)]
    ca = ["--tls-ca-cert-file", str(found.authority), "--tls-auth-clients", "no"]
    return ["--tls-port", str(port), *files, *ca]


def migration(nodes: list[Node]) -> Iterator[str]:
    """Move every record's slot from the first master to the second, in steps that are told."""
    source, target = nodes[0], nodes[1]
    origin, goal = (node.ask("CLUSTER", "MYID").decode() for node in (source, target))
    slots = {int(source.ask("CLUSTER", "KEYSLOT", key)) for key in source.ask("KEYS", "*")}
    for slot in slots:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", origin)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", goal)
    yield "the slots are about to move"
    for slot in slots:
        for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    yield "the records have moved"
    for slot in slots:
        for node in (target, source, nodes[2]):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", goal)
    yield "the slots have moved"
