"""What the figures were measured on, without anything that names the machine."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.servers import program

PACKAGES = [
    "aiohttp",
    "aiohttp-session",
    "asyncmy",
    "beaker",
    "coatcheck",
    "cryptography",
    "django",
    "emcache",
    "flask",
    "flask-session",
    "granian",
    "hiredis",
    "httptools",
    "itsdangerous",
    "litestar",
    "msgspec",
    "psycopg",
    "pymemcache",
    "redis",
    "sqlalchemy",
    "starlette",
    "starsessions",
    "uvicorn",
    "uvloop",
]

PROGRAMS = {
    "Redis": ("redis-server", "--version"),
    "Memcached": ("memcached", "--version"),
    "PostgreSQL": ("postgres", "--version"),
    "MariaDB": ("mariadbd", "--version"),
    "wrk": ("wrk", "--version"),
}


def described() -> dict[str, object]:
    """Return the machine and the versions."""
    import sqlite3

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: version(name) for name in PACKAGES},
        "servers": {"SQLite": sqlite3.sqlite_version, **_programs()},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _programs() -> dict[str, str]:
    found = {}
    for name, (command, option) in PROGRAMS.items():
        path = program(command)
        if path is None:
            continue
        done = subprocess.run([path, option], capture_output=True, text=True, check=False)
        if number := re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr):
            found[name] = number[0]
    return found
