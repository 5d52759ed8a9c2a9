"""Errors about a URL quote no part of it, whatever spills where; and what its parts must be."""

import traceback
from pathlib import Path

import pytest

from coatcheck.errors import ConfigurationError, SessionError
from coatcheck.storage import KeyedStorage, storage_from_url
from coatcheck.storage.urls import SCHEMES
from coatcheck.storage.urls.redis import Hidden
from tests.certificates import RIGHT, WRONG, Authority

PARTS = ("Tr0ub4dor", "3horse")
"""What stands before and behind one character of a password."""

LOCAL = {"memory", "cookie", "file", "sqlite"}

SERVERS = sorted(SCHEMES.keys() - LOCAL)

PLACES = [
    "{scheme}://:{password}@cache:6379/0",
    "{scheme}://app:{password}@db/shop",
    "{scheme}://{password}@db/shop",
    "{scheme}://app:1234{password}@db/shop",
    "{scheme}://{password}",
    "{scheme}:{password}",
    "{scheme}:///{password}",
    "{scheme}://host/name?sentinel_password={password}",
    "{scheme}://host/name?sslmode={password}",
    "{scheme}://host/name?timeout={password}",
]


@pytest.mark.parametrize("scheme", SERVERS)
@pytest.mark.parametrize("place", PLACES)
def test_no_part_of_a_url_is_in_an_error(scheme: str, place: str) -> None:
    """Neither the message, the chain of errors nor a variable of our frames holds a part of it."""
    for character in "/#?@%&=:;,[]\\ \n\t\x00\ud800'\"é":
        url = place.format(scheme=scheme, password=character.join(PARTS))
        try:
            storage_from_url(url)
        except SessionError as error:
            found = quoted(error)
            assert found == [], f"{character!r}: {found}"


def quoted(error: BaseException | None) -> list[str]:
    """Return what an error, its causes, and the frames below the test show of the password."""
    found: list[str] = []
    while error:
        shown = [str(error), repr(error)]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/coatcheck/" in frame.f_code.co_filename:
                shown += map(repr, frame.f_locals.values())
        found += [text for text in shown if any(part in text for part in PARTS)]
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.parametrize("scheme", [each for each in SERVERS if each != "memcached"])
@pytest.mark.parametrize("character", ["/", "#", "?", "%"])
def test_an_unencoded_password_is_named_as_the_likely_cause(scheme: str, character: str) -> None:
    """A "/", "#", "?" or "%" in a password is refused when the storage is made."""
    for password in (character.join(PARTS), f"1234{character}x", f"{character}x"):
        with pytest.raises(
            ConfigurationError, match=r'the likely cause is a password with an .*"%'
        ):
            storage_from_url(f"{scheme}://app:{password}@host:1/0")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:sessions#2", 'must hold no "#"; percent-encode'),
        ("sqlite:100%", "must be percent-encoded as UTF-8"),
        ("file:a%ff", "must be percent-encoded as UTF-8"),
        ("file:a%00b", "no control character"),
        ("redis://host/0\n", "no control character, such as the end of a line"),
        ("redis://a,b", "must have one host, got 2: use redis.sentinel: or redis.cluster:"),
        ("postgresql://a,b/shop", "must have one host, got 2"),
        ("postgresql://a:b/shop", "a port in a postgresql: URL must be a number"),
        ("mysql://host:65536/shop", "with a port from 1 to 65535"),
        ("redis://host:0", "with a port from 1 to 65535"),
        ("redis://host/9999999999", "the database in a redis: URL must be a number"),
        (
            "redis+sentinel://host/master/x",
            "the database in a redis.sentinel: URL must be a number",
        ),
        ("redis://host?timeout=1e300", "must be a number of seconds above 0, up to 86400"),
        ("unix://run/redis.sock", "the path of a socket and no host"),
        ("memcached://u:p@host", "no user and no password"),
        ("memcached:///a.sock,b.sock", "the paths of sockets"),
    ],
)
def test_what_would_be_misread_is_refused(url: str, says: str) -> None:
    """When the storage is made, and not with the first request."""
    with pytest.raises(ConfigurationError, match=says):
        storage_from_url(url)


@pytest.mark.parametrize(
    "option",
    [
        "postgresql://host/shop?sslrootcert=",
        "postgresql://host/shop?sslcert=",
        "postgresql://host/shop?sslkey=",
        "mysql://host/shop?ssl_ca=",
        "mariadb://host/shop?ssl_ca=",
        "rediss://host?ssl_ca_certs=",
        "rediss+sentinel://host/master?ssl_certfile=",
        "rediss+cluster://host?ssl_keyfile=",
    ],
)
def test_a_file_of_tls_that_cannot_be_read_is_a_configuration_error(
    option: str, tmp_path: Path
) -> None:
    """A missing file and a folder are found when the storage is made; the option is named."""
    name = option.partition("?")[2].rstrip("=")
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(ConfigurationError, match=rf"^{name} in a \w+.*: URL must be") as raised:
            storage_from_url(f"{option}{path}")
        assert str(tmp_path) not in str(raised.value)


def test_what_is_no_certificate_is_a_configuration_error(tmp_path: Path) -> None:
    """So is a key without its certificate, and one that belongs to another."""
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ConfigurationError, match="with certificates, in PEM"):
        storage_from_url(f"rediss://host?ssl_ca_certs={tmp_path}/empty.pem")
    ours, other = map(Authority(tmp_path).certificate, (RIGHT, WRONG))
    for options in (
        f"ssl_keyfile={ours.key}",
        f"ssl_certfile={ours.certificate}",
        f"ssl_certfile={ours.certificate}&ssl_keyfile={other.key}",
    ):
        with pytest.raises(ConfigurationError, match="must be files in PEM that fit together"):
            storage_from_url(f"rediss://host?{options}")
    storage_from_url(f"rediss://host?ssl_certfile={ours.certificate}&ssl_keyfile={ours.key}")


def test_a_plus_in_an_option_stands_for_itself() -> None:
    """RFC 3986 knows "+" as a character; only forms write a space so."""
    storage = storage_from_url("redis://host?prefix=a%20b+c:")
    assert isinstance(storage, KeyedStorage)
    assert storage.prefix == "a b+c:"


def test_a_hidden_password_is_sent_and_not_shown() -> None:
    """Its text goes to the server as it is; every way to print it shows something else."""
    password = Hidden("Tr0ub4dor")
    assert password.encode() == b"Tr0ub4dor"
    assert {str(password), repr(password), f"{password}", f"{password:>3}"} == {"<hidden>"}
