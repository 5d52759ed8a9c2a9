"""The facts of a request that comes as an object."""

from dataclasses import dataclass, field

from coatcheck._request.request_visit import RequestVisit


@dataclass
class Asked:
    """A request as a framework hands it out."""

    method: str = "POST"
    path: str = "/cart"
    scheme: str = "https"
    headers: dict[str, str] = field(default_factory=dict)


def test_a_visit_tells_what_its_request_tells() -> None:
    """Each fact is taken when it is asked for."""
    asked = Asked(headers={"host": "shop.example", "origin": "https://shop.example"})
    visit = RequestVisit(asked)
    assert (visit.method, visit.path, visit.scheme) == ("POST", "/cart", "https")
    assert visit.host == "shop.example"
    assert visit.header("origin") == "https://shop.example"
    asked.method = "GET"
    assert visit.method == "GET"


def test_a_header_that_is_absent_is_empty_text() -> None:
    """No decision need ask whether a header is there."""
    visit = RequestVisit(Asked())
    assert (visit.host, visit.header("origin")) == ("", "")
