"""`coatcheck` itself: what a user sees of the package."""

import types

import coatcheck


def test_dir_shows_public_names_alone() -> None:
    """The names in `__all__`, the version, and public modules that were imported."""
    for name in set(dir(coatcheck)) - {*coatcheck.__all__, "__version__"}:
        module = getattr(coatcheck, name)
        assert isinstance(module, types.ModuleType), name
        assert module.__name__ == f"coatcheck.{name}"
        assert not name.startswith("_")


def test_dir_shows_every_public_name() -> None:
    """Nothing is left out."""
    assert {*coatcheck.__all__, "__version__", "errors", "storage"} <= set(dir(coatcheck))


def test_every_name_in_dir_can_be_used() -> None:
    """Completion offers nothing that then fails."""
    for name in dir(coatcheck):
        assert getattr(coatcheck, name) is not None
