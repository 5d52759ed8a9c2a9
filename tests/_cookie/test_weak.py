"""A warning points to the line of the application; `test_messages` has every way in."""

import runpy
import warnings
from pathlib import Path

from coatcheck import CoatcheckWarning
from coatcheck._cookie.weak import warn_of_weak


def test_a_caller_outside_of_the_package_is_the_line() -> None:
    """Directly."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_weak("it is weak")
    (warning,) = caught
    assert warning.filename == __file__
    assert warning.category is CoatcheckWarning


def test_an_application_of_a_like_name_is_outside(tmp_path: Path) -> None:
    """As "coatcheck_shop" is, however the package itself calls."""
    shop = tmp_path / "shop.py"
    shop.write_text("from coatcheck import Cookie\nCookie('name', secrets=['short'])\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runpy.run_path(str(shop), run_name="coatcheck_shop")
    (warning,) = caught
    assert (Path(warning.filename).name, warning.lineno) == ("shop.py", 2)
