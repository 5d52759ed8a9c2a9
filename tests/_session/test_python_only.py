"""What a template sees of a session: keys, the methods of a dict, and `signed_in`."""

from typing import Any

import jinja2
import pytest
from jinja2.sandbox import SandboxedEnvironment

from coatcheck import Session
from coatcheck._session.python_only import python_only
from coatcheck.frameworks.flask import FlaskSession

OWN = sorted({name for name in dir(FlaskSession) if not name.startswith("_")} - {*dir(dict)})
OWN.remove("signed_in")

FORMS = [
    "session.NAME",
    "session['NAME']",
    "session|attr('NAME') or session['NAME']",
    "([session]|map(attribute='NAME')|list)[0]",
    "holder.session.NAME",
]


def render(source: str, engine: type[jinja2.Environment] = jinja2.Environment, **names: Any) -> str:
    return engine().from_string(source).render(**names)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("form", FORMS)
def test_a_word_of_the_sessions_own_is_a_key_in_a_template(form: str, name: str) -> None:
    """Or nothing, if there is no such key; whatever way the template reads it."""
    source = "{{ FORM }}".replace("FORM", form.replace("NAME", name))
    for session in (FlaskSession[Any](), FlaskSession[Any](id="an id that is issued")):
        assert render(source, session=session, holder={"session": session}) == ""
        session[name] = "the value"
        assert render(source, session=session, holder={"session": session}) == "the value"


def test_there_are_such_words() -> None:
    """The list above is not empty by accident."""
    assert {"id", "issued_id", "created_at", "data", "flash", "set", "permanent"} <= set(OWN)


@pytest.mark.parametrize("engine", [jinja2.Environment, SandboxedEnvironment])
def test_a_template_uses_the_session_as_a_dict(engine: type[jinja2.Environment]) -> None:
    """Its methods, in every environment of Jinja; `pop` in a template is a habit of Flask's."""
    session = Session({"a": 1, "b": 2})
    source = (
        "{{ session.get('a') }}{{ session.items()|list }}{{ session|length }}{{ 'a' in session }}"
    )
    assert render(source, engine, session=session) == "1[('a', 1), ('b', 2)]2True"
    assert render("{{ session.pop('a') }}", session=session) == "1"
    assert session == {"b": 2}


def test_a_template_sees_who_is_signed_in() -> None:
    """`signed_in` wins over a key of that name, as the methods of a dict do."""
    session = Session()
    source = "{{ session.signed_in.user if session.signed_in else 'nobody' }}"
    assert render(source, session=session) == "nobody"
    session.sign_in("ada")
    session["signed_in"] = "a value"
    assert render(source, session=session) == "ada"


def test_a_key_that_a_template_reads_is_a_use_of_the_session() -> None:
    """Also one that is not there: the page depends on it."""
    for source in ("{{ session.id }}", "{{ session.flash }}", "{{ session.get('a') }}"):
        session = Session()
        assert not session._accessed
        render(source, session=session)
        assert session._accessed


def test_what_a_template_calls_is_code_like_any_other() -> None:
    """A function of the application finds the session whole."""
    session = Session(id="x")
    assert render("{{ id_of() == 'x' }}", id_of=lambda: session.id) == "True"
    assert session.id == "x"


def test_python_finds_everything() -> None:
    """Methods have their names and signatures, properties their docstrings and setters."""
    session = Session({"a": 1})
    flash: Any = session.flash
    assert (flash.__name__, flash.__self__) == ("flash", session)
    assert Session.flash.__doc__ == flash.__doc__
    id: Any = Session.id
    assert isinstance(id, property)
    assert "credential" in str(id.__doc__)
    with pytest.raises(AttributeError):
        session.id = "another"  # type: ignore[misc]


def test_a_subclass_may_have_words_that_templates_see() -> None:
    """What an application adds is its own; `python_only` hides it, too."""

    class Shop(Session):
        def total(self) -> int:
            return 3

    class Hiding(Session):
        def total(self) -> int:
            return 3

    assert render("{{ session.total() }}", session=Shop()) == "3"
    assert render("{{ session.total }}", session=python_only(Hiding)()) == ""


def test_what_is_neither_a_method_nor_a_property_stays() -> None:
    """Such as a constant of the class."""

    @python_only
    class Sessions:
        limit = 3

    assert Sessions.limit == 3
