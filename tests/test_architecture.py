"""Which package may import which, and what the core never touches."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    {"middleware", ""},
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

MODULES = sorted(SOURCE.rglob("*.py"))


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


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    """Values know nothing of sessions, sessions nothing of storages, storages nothing of HTTP."""
    own = layer_of(name_of(path))
    for imported in imports_of(path):
        if imported.partition(".")[0] == "coatcheck":
            name = imported.removeprefix("coatcheck").removeprefix(".")
            assert layer_of(name) <= own, f"{name_of(path)} imports {name}"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if name_of(p).partition(".")[0] in CORE], ids=name_of
)
def test_the_core_touches_no_clock_socket_loop_or_file(path: Path) -> None:
    """Decisions are pure: what they need is an argument."""
    assert not {name.partition(".")[0] for name in imports_of(path)} & WORLD


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_clients_are_known_in_one_module_each(path: Path) -> None:
    """A client is imported in its storage's modules, cryptography where values are sealed."""
    allowed = {
        "storage.backends.redis": {"redis", "valkey"},
        "storage.backends.memcached": {"emcache", "pymemcache"},
        "storage.urls.redis": {"redis"},
        "storage.urls.postgresql": {"psycopg"},
        "storage.urls.sql": {"sqlalchemy", "pymysql", "asyncmy"},
        "storage.backends.sql": {"sqlalchemy"},
        "storage.backends.async_sql_backend": {"sqlalchemy"},
        "storage.backends.sql_backend": {"sqlalchemy"},
        "storage.backends.sql_table": {"sqlalchemy"},
        "_cookie.sealing": {"cryptography"},
    }
    found = {name.partition(".")[0] for name in imports_of(path)} & (CLIENTS - FRAMEWORKS)
    if not name_of(path).startswith("demo"):
        assert found <= allowed.get(name_of(path), set())


@pytest.mark.parametrize("path", [p for p in MODULES if name_of(p) != "demo"], ids=name_of)
def test_the_two_middlewares_know_no_particular_storage(path: Path) -> None:
    """The shells see the protocol of a storage and nothing of who keeps it."""
    if name_of(path) in ("_request.cycle", "asgi", "wsgi", "middleware"):
        storages = {name for name in imports_of(path) if name.startswith("coatcheck.storage")}
        assert storages <= {"coatcheck.storage.protocol"}


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


class WithoutAwait(ast.NodeTransformer):
    """Turn asynchronous code into the plain code that it would be."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        plain = ast.FunctionDef(**{field: getattr(node, field) for field in node._fields})
        return self.visit_FunctionDef(ast.copy_location(plain, node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        return without_docstring(node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        self.generic_visit(node)
        plain = ast.With(**{field: getattr(node, field) for field in node._fields})
        return ast.copy_location(plain, node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        return node.value


def without_docstring(node: ast.ClassDef | ast.FunctionDef) -> ast.ClassDef | ast.FunctionDef:
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:]
    return node


def methods_of(path: Path, name: str, *, but: set[str]) -> dict[str, str]:
    """Return the source of each method of a class, without async, await and docstrings."""
    tree = ast.parse(path.read_text())
    found = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    methods = [WithoutAwait().visit(node) for node in found.body]
    return {
        node.name: ast.unparse(ast.fix_missing_locations(node))
        for node in methods
        if isinstance(node, ast.FunctionDef) and node.name not in but
    }


@pytest.mark.parametrize(
    ("modules", "plain", "apart"),
    [
        ("storage/keyed.py storage/keyed_async.py", "KeyedStorage", {"__init__"}),
        ("storage/migrating/backend.py", "MigratingBackend", {"__init__"}),
        ("storage/migrating/from_cookie.py", "FromCookie", {"__init__"}),
        ("storage/migrating/into_cookie.py", "IntoCookie", {"__init__"}),
    ],
)
def test_the_two_forms_are_the_same_text(modules: str, plain: str, apart: set[str]) -> None:
    """The asynchronous form is the plain one with async and await, and nothing else."""
    paths = [SOURCE / module for module in modules.split()]
    methods = methods_of(paths[0], plain, but=apart)
    assert methods == methods_of(paths[-1], f"Async{plain}", but=apart)
    assert len(methods) >= 3
