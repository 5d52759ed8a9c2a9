"""What the shop sells, and what a cart is."""

from coatcheck.demo.products import PRODUCTS, added, counted, found, lines, product_of


def test_adding_leaves_the_given_cart_alone() -> None:
    """A change of a cart may run twice, so it makes a new cart."""
    cart = {"hat": 1}
    assert added(cart, "hat", 2) == {"hat": 3}
    assert added(cart, "scarf") == {"hat": 1, "scarf": 1}
    assert cart == {"hat": 1}


def test_a_count_of_nothing_takes_a_product_out() -> None:
    """Counting sets the number, in place; 0 removes, and removing what is not there is no error."""
    cart = {"hat": 1, "scarf": 2}
    assert list(counted(cart, "hat", 5).items()) == [("hat", 5), ("scarf", 2)]
    assert counted(cart, "hat", 0) == {"scarf": 2}
    assert counted({}, "hat", 0) == {}


def test_lines_know_what_they_cost() -> None:
    """A line is as many times the price, and a product that is no longer sold has none."""
    (line,) = lines({"scarf": 2, "sold-out": 9})
    assert (line.product.name, line.price) == ("Long scarf", 90)


def test_a_search_looks_at_name_and_text() -> None:
    """Case and spaces around do not matter; an empty search finds everything."""
    assert [product.slug for product in found("  FELT ")] == ["hat"]
    assert found("") == list(PRODUCTS)
    assert found("<script>") == []


def test_an_unknown_slug_is_no_product() -> None:
    """Slugs come from a client."""
    assert product_of("hat") is not None
    assert product_of("../hat") is None
