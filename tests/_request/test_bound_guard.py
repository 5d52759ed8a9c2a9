"""The answer to a request for what only a bound session may do."""

import pytest

from coatcheck import ConfigurationError, Session
from coatcheck._request.bound_guard import refusal, reloads
from coatcheck._request.visit import Answer
from coatcheck._session.draft import Draft
from coatcheck._session.record import Terms
from coatcheck._session.session import showing


def with_terms(bound: str) -> Session:
    return showing(Draft(terms=Terms(bound=bound)))  # type: ignore[arg-type]


def test_a_visitor_is_refused_where_it_is_required() -> None:
    """Without a header to load the page again: the browser is not about to register."""
    answer = refusal(with_terms("required"), "GET")
    assert answer is not None
    assert (answer.status, reloads(answer)) == (403, {})
    assert refusal(with_terms("offered"), "GET") is None


def test_a_session_that_nothing_binds_is_a_mistake() -> None:
    """So is no session."""
    for found in (with_terms("no"), None):
        with pytest.raises(ConfigurationError, match="inside of sessions with bound="):
            refusal(found, "GET")


def test_the_header_that_reloads_is_told_alone() -> None:
    """For frameworks that make the response themselves."""
    answer = Answer(403, (("content-length", "3"), ("refresh", "1")), b"no\n")
    assert reloads(answer) == {"refresh": "1"}
