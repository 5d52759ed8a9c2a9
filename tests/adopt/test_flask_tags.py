"""Flask's tagged JSON."""

from typing import Any

import pytest

from coatcheck._session.values import CORRUPT
from coatcheck.adopt.flask_tags import untagged
from coatcheck.adopt.refused import Refused


def test_flask_reads_the_same() -> None:
    """Of what Flask itself tagged, with dicts that look like tags."""
    flask = pytest.importorskip("flask.json.tag")
    value = {"a": (1, b"x", {" t": [1]}), "b": [{" di": 2}], "c": {}}
    serializer = flask.TaggedJSONSerializer()
    import json

    assert untagged(json.loads(serializer.dumps(value))) == value


@pytest.mark.parametrize(
    "value",
    [{" u": "xyz"}, {" u": 5}, {" b": "@"}, {" b": 5}, {" t": "ab"}, {" d": "soon"}, {" d": 5},
     {" m": 5}, {" di": 5}, {" di": {}}],
)  # fmt: skip
def test_a_tag_of_the_wrong_type_is_refused(value: Any) -> None:
    """It is no value that Flask wrote."""
    with pytest.raises((Refused, *CORRUPT)):
        untagged(value)


def test_a_time_without_a_zone_is_in_utc() -> None:
    """An HTTP date is in GMT."""
    assert untagged({" d": "Fri, 02 Jan 2026 03:04:05 -0000"}).utcoffset().total_seconds() == 0
