"""`python -m benchmarks`: see `benchmarks`."""

import argparse
import sys

from benchmarks import in_process, servers


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks")
    parser.add_argument("--only", help="subjects, by key: cookie,memory", default="")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--clients", type=int, default=10_000, help="clients that are many")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    servers.pin()
    only = {name.strip() for name in options.only.split(",") if name.strip()} or None
    rounds = options.rounds or (9 if options.quick else 41)
    found = in_process.run(only, rounds=rounds, target=0.01, clients=options.clients)
    sys.stdout.write(in_process.table(found) + "\n")


main()
