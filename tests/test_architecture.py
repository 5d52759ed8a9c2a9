"""Which package may import which, and what the core never touches."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "coatcheck"

LAYERS = [
    {"errors"},
    {"_cookie"},
    {"_session"},
    {"_model"},
    {"context", "storage"},
    {"_request"},
    {"users", "adopt"},
    {"asgi", "wsgi"},
    {"bound", "middleware", ""},
    {"csrf", "redirects", "router", "auth", "forms", "telemetry"},
    {"frameworks", "testing"},
    {"_commands", "demo", "cli", "__main__"},
]
"""Packages and modules from the bottom up: each imports its own layer and those above it here."""

CORE = {"errors", "_cookie", "_session", "_model"}

WORLD = {"time", "socket", "asyncio", "threading", "os", "io", "pathlib", "tempfile", "subprocess"}
"""What the core never imports: clocks, sockets, event loops, files."""

CLIENTS = {
    "redis", "valkey", "emcache", "pymemcache", "sqlalchemy", "psycopg", "pymysql", "asyncmy",
    "cryptography", "starlette", "jinja2",
}  # fmt: skip
FRAMEWORKS = {
    "starlette", "python_multipart", "jinja2", "uvicorn", "pytest", "flask", "quart", "werkzeug",
}  # fmt: skip


def name_of(path: Path) -> str:
    """Return a module's name below the package: "storage.keyed"."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def layer_of(name: str) -> int:
    """Return the place of a module's package among the layers."""
    package = name.partition(".")[0]
    return next(place for place, layer in enumerate(LAYERS) if package in layer)


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "coatcheck":
            for alias in node.names:
                below = SOURCE / alias.name
                found = below.is_dir() or below.with_suffix(".py").exists()
                yield f"coatcheck.{alias.name}" if found else "coatcheck"
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@cache
def imports() -> dict[str, set[str]]:
    """
    Return what each module of the package imports.

    A rule goes through all of them at once: a test for each module would take seconds.
    """
    return {name_of(path): set(imports_of(path)) for path in sorted(SOURCE.rglob("*.py"))}


ALLOWED = {
    "storage.backends.redis": {"redis", "valkey"},
    "storage.urls.redis": {"redis"},
    "storage.urls.sql": {"sqlalchemy", "psycopg", "pymysql", "asyncmy"},
    "storage.backends.async_mariadb_pool": {"asyncmy"},
    "storage.backends.async_postgresql_connection": {"psycopg"},
    "storage.backends.async_postgresql_pool": {"psycopg"},
    "storage.backends.postgresql_errors": {"psycopg"},
    "storage.backends.postgresql_pool": {"psycopg"},
    "storage.backends.sql": {"sqlalchemy"},
    "storage.backends.async_sql_backend": {"sqlalchemy"},
    "storage.backends.sql_backend": {"sqlalchemy"},
    "storage.backends.sql_errors": {"sqlalchemy"},
    "storage.backends.sql_loops": {"sqlalchemy"},
    "storage.backends.sql_pool": {"sqlalchemy"},
    "storage.backends.sql_run": {"sqlalchemy"},
    "storage.backends.sql_table": {"sqlalchemy"},
    "storage.backends.uncancelled": {"sqlalchemy"},
    "_commands.adopt_check": {"redis", "sqlalchemy"},
    "_commands.doctor_server": {"sqlalchemy"},
    "_commands.scanning": {"sqlalchemy"},
    "adopt.ciphers": {"cryptography"},
    "adopt.sql_rows": {"sqlalchemy"},
    "_cookie.sealing": {"cryptography"},
    "_session.body_cipher": {"cryptography"},
    "_session.proof": {"cryptography"},
    "_session.row_cipher": {"cryptography"},
}
"""Who may import a client of a server, or cryptography."""


def tops(imported: set[str]) -> set[str]:
    """Return the packages that modules are in."""
    return {name.partition(".")[0] for name in imported}


def test_a_module_imports_only_what_lies_below_it() -> None:
    """Values know nothing of sessions, sessions nothing of storages, storages nothing of HTTP."""
    wrong = [
        f"{name} imports {other}"
        for name, imported in imports().items()
        for other in imported
        if other.partition(".")[0] == "coatcheck"
        and layer_of(other.removeprefix("coatcheck").removeprefix(".")) > layer_of(name)
    ]
    assert wrong == []


def test_the_core_touches_no_clock_socket_loop_or_file() -> None:
    """Decisions are pure: what they need is an argument."""
    core = {name: tops(all) for name, all in imports().items() if name.partition(".")[0] in CORE}
    assert {name: found & WORLD for name, found in core.items() if found & WORLD} == {}


def test_clients_are_known_in_one_module_each() -> None:
    """A client is imported in its storage's modules, cryptography where values are sealed."""
    found = {
        name: tops(imported) & (CLIENTS - FRAMEWORKS) - ALLOWED.get(name, set())
        for name, imported in imports().items()
        if not name.startswith("demo")
    }
    assert {name: clients for name, clients in found.items() if clients} == {}


def test_the_two_middlewares_know_no_particular_storage() -> None:
    """The shells see the protocol of a storage and nothing of who keeps it."""
    for name in ("_request.cycle", "asgi", "wsgi", "middleware"):
        storages = {each for each in imports()[name] if each.startswith("coatcheck.storage")}
        allowed = {f"coatcheck.storage.{each}" for each in ("arguments", "clock", "protocol")}
        assert storages <= allowed, name


def test_importing_the_package_imports_no_client_and_no_framework() -> None:
    """Whoever keeps sessions in files pays for nothing else."""
    script = (
        "import sys, coatcheck, coatcheck.storage\n"
        f"print(*(set(sys.modules) & {CLIENTS | FRAMEWORKS!r}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert found.stdout.strip() == ""
    assert found.returncode == 0, found.stderr
