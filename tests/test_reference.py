"""
The reference: every public name and option is on a page.

The pages are made from docstrings: `::: coatcheck.Cookie` stands for the class with its members.
Here the lines are read without the tool that builds the pages, which shows what has a docstring.
"""

import argparse
import ast
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import coatcheck
from coatcheck import cli, session
from coatcheck._cookie.cookie import Attributes
from coatcheck.forms import Limits
from coatcheck.forms.middleware import FormLimits
from coatcheck.router import RouteOptions, Router
from coatcheck.storage.backends.sql import TABLE
from coatcheck.storage.sweeping import SWEEP_EVERY
from coatcheck.storage.urls import SCHEMES

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "coatcheck"
DOCS = ROOT / "docs"
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
GUIDES = [ROOT / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]

NO_API = {"cli", "demo", "frameworks"}
"""Commands have a page of their own; adapters import frameworks, and are read as text below."""

DIRECTIVE = re.compile(r"^::: (?P<path>\S+)\n(?P<options>(?:[ ]{4}.*\n)*)", re.MULTILINE)

IMPORT = re.compile(r"^from (coatcheck\.frameworks\.\w+) import (.+)$", re.MULTILINE)

BESIDE = re.compile(r"coatcheck\.frameworks\.\w+")

HIDDEN = ("!^_(?!_call__$)",)
"""What mkdocs.yml hides where a page says nothing else."""


@dataclass(frozen=True)
class Entry:
    """One directive: a path, the members it names (None: all), and the filters that hide some."""

    page: Path
    path: str
    members: tuple[str, ...] | None
    filters: tuple[str, ...]
    also_without_docstring: bool

    def shows(self, name: str) -> bool:
        """Tell whether a member of that name is shown, if it has a docstring."""
        if self.members is not None:
            return name in self.members
        return not any(re.search(rule.removeprefix("!"), name) for rule in self.filters)


@cache
def entries() -> tuple[Entry, ...]:
    return tuple(entry for page in REFERENCE for entry in entries_of(page))


def entries_of(page: Path) -> Iterator[Entry]:
    for found in DIRECTIVE.finditer(page.read_text()):
        options = dict(
            line.strip().partition(": ")[::2] for line in found["options"].splitlines()[1:]
        )
        members = options.get("members")
        yield Entry(
            page,
            found["path"],
            tuple(re.findall(r"\w+", members)) if members else None,
            tuple(json.loads(options["filters"])) if "filters" in options else HIDDEN,
            options.get("show_if_no_docstring") == "true",
        )


def module_and_name(path: str) -> tuple[str, str]:
    """Return "coatcheck.storage" and "Stored" for "coatcheck.storage.Stored"."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        below = SOURCE.joinpath(*parts[1:length])
        if below.is_dir() or below.with_suffix(".py").exists():
            return ".".join(parts[:length]), ".".join(parts[length:])
    raise AssertionError(f"{path} is nothing of this package")


@cache
def resolved(path: str) -> Any:
    """Return the object that a directive names."""
    if path.rpartition(".")[0] == "coatcheck" and path.rpartition(".")[2] in coatcheck.__all__:
        return getattr(coatcheck, path.rpartition(".")[2])
    module, names = module_and_name(path)
    found: Any = importlib.import_module(module)
    for name in names.split(".") if names else ():
        found = getattr(found, name)
    return found


def public_modules() -> list[ModuleType]:
    """Return every module that a user imports from, but for the adapters of frameworks."""
    names = {each.name for each in pkgutil.iter_modules([str(SOURCE)])}
    public = sorted(name for name in names - NO_API if not name.startswith("_"))
    paths = ["coatcheck", *(f"coatcheck.{name}" for name in public), "coatcheck.testing.plugin"]
    return [importlib.import_module(path) for path in paths]


MODULES = public_modules()

NAMES = [(module.__name__, name) for module in MODULES for name in module.__all__]

ENTRIES = [entry for entry in entries() if ".frameworks." not in entry.path]

ADAPTERS = [entry for entry in entries() if ".frameworks." in entry.path]


def is_own(found: object) -> bool:
    """Tell whether an object is of this package: `FormData` is Starlette's."""
    return not str(getattr(found, "__module__", "")).startswith("starlette.")


def test_every_public_name_is_in_the_reference() -> None:
    """By a directive of its own, or by that of its module."""
    missing = [f"::: {module}.{name}" for module, name in NAMES if not is_covered(module, name)]
    assert missing == [], "write these on pages of docs/reference"


def is_covered(module: str, name: str) -> bool:
    found = getattr(importlib.import_module(module), name)
    if not is_own(found):
        return any(f"`{name}`" in page.read_text() for page in REFERENCE)
    return any(
        resolved(entry.path) is found or (entry.path == module and shown_with(entry, name))
        for entry in ENTRIES
    )


def shown_with(entry: Entry, name: str) -> bool:
    """Tell whether the directive of a module shows a name in it."""
    documented = entry.also_without_docstring or names_in(entry.path)[0].get(name, False)
    return documented and entry.shows(name)


def test_a_directive_leads_to_something() -> None:
    """A page without text for a name that has gone is found here, not by a reader."""
    for entry in ENTRIES:
        found = resolved(entry.path)
        if inspect.isclass(found) or inspect.isroutine(found):
            assert found.__doc__, f"{entry.path} needs a docstring"
        for member in entry.members or ():
            assert hasattr(found, member), f"{entry.path}.{member} is nothing"


def test_every_public_member_of_a_class_is_shown() -> None:
    """What has no docstring would be missing; what is not for users is named in a filter."""
    for entry in (e for e in ENTRIES if inspect.isclass(resolved(e.path))):
        assert entry.members is None, f"{entry.path}: hide with filters, so that new ones appear"
        for name, member in vars(resolved(entry.path)).items():
            if is_method_or_property(member) and entry.shows(name):
                shown = entry.also_without_docstring or inspect.getdoc(member)
                assert shown, f"{entry.path}.{name} needs a docstring"


def is_method_or_property(member: object) -> bool:
    return inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)


def test_every_option_is_explained() -> None:
    """In the docstring's Args, or on the page."""
    for entry in ENTRIES:
        found = resolved(entry.path)
        if callable(found) and is_own(found):
            explained = f"{inspect.getdoc(found)}\n{entry.page.read_text()}"
            for option in options_of(found):
                said = re.search(rf"^ *{option}: |`{option}`", explained, re.MULTILINE)
                assert said, f"{entry.path}: {option}"


def options_of(found: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(found).parameters.values()
    except ValueError:  # what is no function, such as Callable[[Context], Response]
        return []
    return [option.name for option in parameters if option.kind is option.KEYWORD_ONLY]


@pytest.mark.parametrize(
    ("page", "options"),
    [("cookie.md", Attributes), ("forms.md", FormLimits), ("context-and-router.md", RouteOptions)],
)
def test_options_behind_two_stars_are_explained(page: str, options: type) -> None:
    """`**options: Unpack[Options]` hides their names, so a page or a docstring says them."""
    shown = (DOCS / "reference" / page).read_text()
    shown += str([inspect.getdoc(each) for each in (Router.map, Limits)])
    for option in options.__annotations__:
        assert f"`{option}`" in shown or f"    {option}: " in shown, option


def test_every_option_of_session_is_in_its_docstring() -> None:
    """There alone, so that it is written once."""
    for option in options_of(session):
        assert f"\n    {option}: " in inspect.getdoc(session).partition("Args:")[2]  # type: ignore[union-attr]


def test_constants_in_signatures_are_explained() -> None:
    """A signature names the constant that is a default; the page says its value."""
    page = (DOCS / "reference" / "storages.md").read_text()
    assert f"`SWEEP_EVERY` is {SWEEP_EVERY}," in page
    assert f'`TABLE` is `"{TABLE}"`' in page


def test_every_url_and_its_options_are_listed() -> None:
    """On the page that the reference links to."""
    page = (DOCS / "how-to" / "storage-from-a-url.md").read_text()
    for scheme, form in SCHEMES.items():
        assert f"`{scheme}:" in page
        for option in form.options:
            assert f"`{option}`" in page


def test_every_command_and_its_options_are_listed() -> None:
    """On the page of the command line."""
    page = (DOCS / "reference" / "command-line.md").read_text()
    for name, command in commands().items():
        assert f"## `coatcheck {name}" in page
        for action in command._actions:
            for flag in action.option_strings:
                assert flag in ("-h", "--help") or f"`{flag}`" in page


def commands() -> dict[str, argparse.ArgumentParser]:
    groups = [
        action
        for action in cli._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return dict(groups[0].choices)


@cache
def names_in(module: str) -> tuple[dict[str, bool], list[str] | None]:
    """
    Return what a module defines, or takes from a module beside it, read as text: a framework need
    not be installed.

    Returns:
        Each name, with whether it has a docstring; and `__all__`, or None if there is none.
    """
    body = ast.parse((SOURCE.joinpath(*module.split(".")[1:])).with_suffix(".py").read_text()).body
    names: dict[str, bool] = {}
    public = None
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names[node.name] = ast.get_docstring(node) is not None
        elif isinstance(node, ast.ImportFrom) and BESIDE.fullmatch(str(node.module)):
            there, _ = names_in(str(node.module))
            names |= {each.name: there.get(each.name, False) for each in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = following.value if isinstance(following, ast.Expr) else None
            names[node.targets[0].id] = isinstance(text, ast.Constant)
            if node.targets[0].id == "__all__":
                public = ast.literal_eval(node.value)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "coatcheck.frameworks."
        ):
            below, _ = names_in(str(node.module))
            names |= {each.name: below.get(each.name, False) for each in node.names}
    return names, public


def test_the_names_of_an_adapter_are_shown() -> None:
    """Each that the page names is there and has a docstring, and each in `__all__` is named."""
    for entry in ADAPTERS:
        names, public = names_in(entry.path)
        assert entry.members, entry.path
        assert all(names.get(member) for member in entry.members), (entry, names)
        assert set(public or ()) <= set(entry.members), entry.path


def test_what_the_guides_use_of_an_adapter_is_in_the_reference() -> None:
    """Every module of `coatcheck.frameworks` that they tell of, and every name they import."""
    shown = {entry.path: entry.members or () for entry in ADAPTERS}
    for guide in GUIDES:
        text = guide.read_text()
        for name in re.findall(r"coatcheck\.frameworks\.\w+", text):
            assert name in shown, (guide.name, name)
        for module, names in IMPORT.findall(text):
            assert set(re.findall(r"\w+", names)) <= set(shown[module]), (guide.name, module)
