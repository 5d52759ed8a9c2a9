"""
The products of the shop, and its carts.

A cart is a dict from a product's slug to how many, so that a session can hold it. Its changes are
functions from one cart to the next: `Session.apply` runs them again when another request was
faster.

Pure: values in, values out.
"""

from dataclasses import dataclass

Cart = dict[str, int]


@dataclass(frozen=True, slots=True)
class Product:
    """One thing to sell. `price` is in whole euros; `slug` also names its drawing."""

    slug: str
    name: str
    about: str
    price: int


@dataclass(frozen=True, slots=True)
class Line:
    """One product in a cart."""

    product: Product
    count: int

    @property
    def price(self) -> int:
        return self.product.price * self.count


PRODUCTS = (
    Product("overcoat", "Wool overcoat", "Heavy, warm, and worth a ticket.", 240),
    Product("raincoat", "Rain coat", "For the walk to the theatre.", 130),
    Product("scarf", "Long scarf", "Goes twice around, and once more.", 45),
    Product("hat", "Felt hat", "Never leave it on a chair.", 75),
    Product("mittens", "Mittens", "A pair. Both of them.", 28),
    Product("umbrella", "Umbrella", "The one you will not forget.", 52),
    Product("bag", "Canvas bag", "Holds everything else.", 36),
    Product("hanger", "Wooden hanger", "What a coat comes home to.", 6),
)

_BY_SLUG = {product.slug: product for product in PRODUCTS}


def product_of(slug: str) -> Product | None:
    """Return the product of that slug, which a client sent, or None."""
    return _BY_SLUG.get(slug)


def found(query: str) -> list[Product]:
    """Return the products that mention *query*; all of them if it is empty."""
    wanted = query.strip().lower()
    return [each for each in PRODUCTS if wanted in f"{each.name} {each.about}".lower()]


def added(cart: Cart, slug: str, count: int = 1) -> Cart:
    """Return *cart* with *count* more of a product."""
    return {**cart, slug: cart.get(slug, 0) + count}


def counted(cart: Cart, slug: str, count: int) -> Cart:
    """Return *cart* with exactly *count* of a product; 0 takes it out."""
    others = {each: number for each, number in cart.items() if each != slug or count}
    return {**others, slug: count} if count else others


def lines(cart: Cart) -> list[Line]:
    """Return what is in *cart*, in the order it was put there."""
    return [Line(_BY_SLUG[slug], count) for slug, count in cart.items() if slug in _BY_SLUG]
