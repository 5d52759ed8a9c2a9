"""Forms as clients send them, and a site that shows what it was sent."""

from collections.abc import Callable, Iterable
from typing import Any

from starlette.responses import JSONResponse, Response

from coatcheck import Context
from coatcheck.forms import FormData, UploadFile, form_data
from coatcheck.router import Router
from tests.asgi_requests import Exchange

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=cut"}


def field(name: str, value: str | bytes) -> bytes:
    """Return a part that is a field."""
    value = value.encode() if isinstance(value, str) else value
    head = f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + value + b"\r\n"


def upload(name: str, data: bytes, filename: str = "a.txt", headers: str = "") -> bytes:
    """Return a part that is a file."""
    head = (
        f'--cut\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        f"Content-Type: text/plain\r\n{headers}\r\n"
    )
    return head.encode() + data + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    """Return a whole body."""
    return b"".join(parts) + b"--cut--\r\n"


async def show(context: Context) -> Response:
    """Answer with what the form holds."""
    shown: list[tuple[str, object]] = []
    for name, value in context.get(FormData).multi_items():
        if isinstance(value, UploadFile):
            shown.append((name, [value.filename, value.content_type, len(await value.read())]))
        else:
            shown.append((name, value))
    return JSONResponse(shown)


def site(**options: Any) -> Router:
    """Return a site that shows the form it was sent."""
    router = Router(middleware=[form_data(**options)])
    router.map("/", show)
    return router


def post(
    body: bytes | Iterable[bytes | None], headers: dict[str, str] | None = None, **options: Any
) -> Exchange:
    """Return the answer to a form, sent in one piece or in several."""
    chunks = [body] if isinstance(body, bytes) else body
    return Exchange(chunks, headers=headers or MULTIPART).with_app(site(**options))


def in_pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


ONE_FIELD, ONE_FILE = field("name", "x" * 100), upload("file", b"x" * 100)


MALFORMED = [
    b"",
    b"no boundary at all",
    field("a", "1"),
    b"--cut\r\n",
    b"--cut\r\nContent-Disposition: form-data; na",
    b"--cut\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--cut--\r\n",
    b"--cut\r\n\r\nno headers\r\n--cut--\r\n",
    b"--cut\r\nbad header\r\n\r\n\r\n--cut--\r\n",
    b"--cutting\r\n",
]


def keeping(uploads: list[UploadFile]) -> Callable[[UploadFile], str]:
    """Return an upload handler that keeps what it is given."""

    def keep(given: UploadFile) -> str:
        uploads.append(given)
        return given.filename or ""

    return keep
