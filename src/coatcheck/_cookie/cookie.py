"""
The session cookie: its name, its attributes, and the seal on its value.

    cookie = Cookie("__session", secrets=["…"], max_age=7 * 24 * 3600)
    cookie.serialize("abc")   "__session=abc.k0lF…; Max-Age=604800; Path=/; Secure; HttpOnly; …"
    cookie.parse(header)      "abc", or None

What is wrong in the attributes is found when the cookie is made. What is wrong in a header that a
client sent reads as no cookie.
"""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, get_args

from coatcheck._cookie import headers
from coatcheck._cookie.cache import Cache
from coatcheck._cookie.joined import JoinedFields
from coatcheck._cookie.sealing import Encrypter, Opened, Seal, Signer, checked_secrets
from coatcheck.errors import ConfigurationError, CookieTooLarge

SameSite = Literal["Lax", "Strict", "None"]

REMEMBERED = 1_000_000
"""
Characters of opened cookies that a process remembers: those of 11,000 visitors whose cookie carries
an id, which take 4 MB. A busy worker sees so many before a visitor asks for the next page.
"""

MAX_COOKIE = 4096
"""Bytes of a Set-Cookie header that every browser keeps (RFC 6265, 6.1)."""

_EPOCH = datetime.fromtimestamp(0, UTC)


AnySameSite = SameSite | Literal["lax", "strict", "none"]
"""The values accepted, in any case; the attribute reads with a capital."""


class Attributes(TypedDict, total=False):
    """Attributes that `serialize` may write differently for one cookie."""

    domain: str | None
    expires: datetime | None
    httponly: bool
    max_age: float | timedelta | None
    partitioned: bool
    path: str | None
    samesite: AnySameSite | None
    secure: bool


@dataclass(frozen=True, eq=False, repr=False)
class Cookie:
    """
    A cookie that only this application can write.

    Args:
        name: A token (RFC 9110, 5.6.2). "__Host-" and "__Secure-" demand what browsers demand.
        secrets: The first seals, every one opens. Without any, the value travels as it is.
        encrypt: Also hide the value from the browser (extra `coatcheck[encrypt]`).
        domain: Hosts the cookie goes to, subdomains included; None: the host that set it alone. A
            leading dot means nothing, and is dropped.
        expires: An aware datetime. Prefer `max_age`, which no wrong clock disturbs.
        max_age: How long the browser keeps the cookie: whole seconds, or a timedelta of them; None:
            until it is closed. Read again, it is an int.
        path: Where on the host the cookie goes; None: the folder of the page that set it.
        samesite: "Lax", "Strict" or "None", in upper or lower case; None: what the browser takes
            for its default.
        encode: Turns the value into cookie-safe text before it is sealed; None: percent-encoding of
            what is not safe already.
        decode: Undoes `encode`. A ValueError from it reads as no cookie.

    Raises:
        ConfigurationError: An attribute breaks the grammar, a rule of browsers, or a promise of the
            name's prefix; a secret is empty.

    Source: RFC 6265, 4.1; RFC 6265bis for SameSite and the prefixes; CHIPS for Partitioned.
    """

    name: str
    _: KW_ONLY
    secrets: Sequence[str] = ()
    encrypt: bool = False
    domain: str | None = None
    expires: datetime | None = None
    httponly: bool = True
    max_age: int | None = None
    partitioned: bool = False
    path: str | None = "/"
    samesite: SameSite | None = "Lax"
    secure: bool = True
    encode: Callable[[str], str] | None = None
    decode: Callable[[str], str] | None = None
    _seal: Seal | None = field(init=False)
    _finder: headers.CookieFinder = field(init=False)
    _known: Cache[Opened] = field(init=False)
    _joined: JoinedFields = field(init=False)
    _attributes: str = field(init=False)

    if TYPE_CHECKING:  # what may be given is more than what is read again

        def __init__(
            self,
            name: str,
            *,
            secrets: Sequence[str] = (),
            encrypt: bool = False,
            domain: str | None = None,
            expires: datetime | None = None,
            httponly: bool = True,
            max_age: float | timedelta | None = None,
            partitioned: bool = False,
            path: str | None = "/",
            samesite: AnySameSite | None = "Lax",
            secure: bool = True,
            encode: Callable[[str], str] | None = None,
            decode: Callable[[str], str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        # A frozen dataclass is written through object: what follows is made once, from its fields.
        make = object.__setattr__
        make(self, "max_age", _whole_seconds(self.max_age))
        make(self, "samesite", _samesite(self.samesite))
        make(self, "domain", headers.checked_domain(self.domain))
        _check(self)
        make(self, "secrets", checked_secrets(self.secrets))
        make(self, "_seal", _seal_of(self))
        make(self, "_finder", headers.CookieFinder(self.name))
        make(self, "_known", Cache(REMEMBERED))
        make(self, "_joined", JoinedFields(self.name))
        make(self, "_attributes", _written(self))

    @property
    def signed(self) -> bool:
        """Whether only this application can make the value: it is signed or encrypted."""
        return self._seal is not None

    @property
    def encrypted(self) -> bool:
        """Whether only this application can read the value."""
        return self.encrypt

    def parse(self, header: str | None) -> str | None:
        """
        Return the value of this cookie in a Cookie header, or None if there is none to trust.

        Args:
            header: "a=1; b=2", from a client; None if it sent none. Of several cookies of this
                name the first whose seal holds counts.

        Source: RFC 6265, 5.4.
        """
        opened = self.open(header)
        return opened.text if opened else None

    def open(self, header: str | None) -> Opened | None:
        """Return what `parse` returns, and whether an older secret sealed it."""
        if not header:
            return None
        for value in self._finder.values(header):
            opened = self._known.get(value) or self._opened(value)
            if opened:
                return opened
        self._joined.check(header)
        return None

    def candidates(self, header: str) -> "Sequence[Opened]":
        """Return what each cookie of this name held whose seal is ours, in order."""
        only = self._finder.only(header)
        found: tuple[Opened, ...] = ()
        if only is None:
            values = self._finder.values(header)
            each = (self._known.get(value) or self._opened(value) for value in values)
            found = tuple(filter(None, each))
        else:  # as most often
            opened = self._known.get(only) or self._opened(only)
            if opened is not None:
                return (opened,)
        if not found and "," in header:
            self._joined.check(header)
        return found

    def is_in(self, header: str) -> bool:
        """Tell whether a Cookie header has a cookie of this name, to be trusted or not."""
        return any(True for _ in self._finder.values(header))

    def serialize(self, value: str, **overrides: Unpack[Attributes]) -> str:
        """
        Return the Set-Cookie header value that hands *value* to the browser.

        Args:
            value: Any text; encoded, then sealed with the first secret. "" makes a removal cookie.
            overrides: Attributes to write differently this once.

        Returns:
            "name=value; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax", in ASCII, on one line.
            Max-Age is in seconds, and counts from when the browser receives it.

        Raises:
            CookieTooLarge: The header value exceeds 4096 bytes, all a browser promises to keep.
            ConfigurationError: An override is not valid, or `encode` returned what no cookie holds.

        Source: RFC 6265, 4.1.1 (grammar) and 6.1 (size).
        """
        worn, attributes = self, self._attributes
        if overrides:
            given: dict[str, Any] = {**overrides}
            worn = replace(self, secrets=(), encrypt=False, **given)
            attributes = _written(worn)
        if not value:
            return f"{self.name}={_written(worn, removing=True)}"
        header = f"{self.name}={self._sealed(value)}{attributes}"
        if len(header) > MAX_COOKIE:
            raise CookieTooLarge(self.name, len(header), MAX_COOKIE)
        return header

    def _sealed(self, value: str) -> str:
        text = value
        if self.encode:
            text = self.encode(value)
            if not headers.is_cookie_safe(text):
                raise ConfigurationError(f"encode of cookie {self.name!r} returned unsafe text")
        elif not self.encrypt:
            text = headers.escape(value)
        return self._seal.seal(text) if self._seal else text

    def _opened(self, value: str) -> Opened | None:
        if self._seal is None:
            return self._decoded(Opened(value, stale=False))  # not remembered: anybody can make it
        opened = self._seal.open(value)
        if opened is None:
            return None
        if self.decode:  # only the application knows what it depends on
            return self._decoded(opened)
        if "%" in opened.text and not self.encrypt:
            opened = self._decoded(opened)
        return opened and self._known.keep(value, opened)

    def _decoded(self, opened: Opened) -> Opened | None:
        try:
            text = self.decode(opened.text) if self.decode else headers.unescape(opened.text)
        except ValueError:
            return None
        return None if text is None else Opened(text, opened.stale)

    def __repr__(self) -> str:
        return f"<Cookie {self.name!r}{self._attributes}>"


def _seal_of(cookie: Cookie) -> Seal | None:
    purpose = f"cookie {cookie.name}"
    if cookie.encrypt:
        return Encrypter(cookie.secrets, purpose=purpose)
    return Signer(cookie.secrets, purpose=purpose) if cookie.secrets else None


def _check(cookie: Cookie) -> None:
    headers.check_name(cookie.name)
    headers.check_path(cookie.path)
    headers.check_prefix(cookie)
    if cookie.expires is not None and cookie.expires.utcoffset() is None:
        raise ConfigurationError("expires needs a datetime that knows its time zone")
    if not cookie.secure and (cookie.samesite == "None" or cookie.partitioned):
        raise ConfigurationError("samesite='None' and partitioned=True need secure=True")
    if cookie.encrypt and not cookie.secrets:
        raise ConfigurationError("encrypt=True needs secrets")
    if (cookie.encode is None) != (cookie.decode is None):
        raise ConfigurationError("encode and decode belong together: give both or neither")


def _whole_seconds(max_age: object) -> int | None:
    seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
    if seconds is None:
        return None
    if type(seconds) is float and seconds.is_integer():
        seconds = int(seconds)
    if type(seconds) is not int or seconds < 1:
        raise ConfigurationError(
            f"max_age must be whole seconds above 0, or a timedelta of them, got {max_age!r}"
        )
    return seconds


def _samesite(given: object) -> SameSite | None:
    for known in get_args(SameSite):
        if isinstance(given, str) and given.lower() == known.lower():
            found: SameSite = known
            return found
    if given is None:
        return None
    raise ConfigurationError(f'samesite must be "Lax", "Strict", "None" or None, got {given!r}')


def _written(cookie: Cookie, *, removing: bool = False) -> str:
    """Return the attributes as they stand behind the value: "; Max-Age=3600; Path=/; Secure"."""
    max_age, expires = (0, _EPOCH) if removing else (cookie.max_age, cookie.expires)
    parts = [
        "" if max_age is None else f"Max-Age={max_age}",
        f"Expires={headers.http_date(expires)}" if expires else "",
        f"Domain={cookie.domain}" if cookie.domain else "",
        f"Path={cookie.path}" if cookie.path else "",
        "Secure" if cookie.secure else "",
        "HttpOnly" if cookie.httponly else "",
        f"SameSite={cookie.samesite}" if cookie.samesite else "",
        "Partitioned" if cookie.partitioned else "",
    ]
    return "".join(f"; {part}" for part in parts if part)
