"""The middleware that reads a form, refuses one over its limits, and replays the body."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, TypedDict, Unpack

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from coatcheck._request.concurrency import call
from coatcheck.context import Context
from coatcheck.forms.body import Body, announced_size
from coatcheck.forms.limits import Limits, OverLimit, check_total
from coatcheck.forms.parsers import PARSERS, MakeParser

UploadHandler = Callable[[UploadFile], object | Awaitable[object]]
"""
A function that is called with each upload; the form then holds what it returns.

The `filename` of an upload comes from the client and may be any text, such as "../../etc/passwd". A
plain function runs in a worker thread.
"""


class FormLimits(TypedDict, total=False):
    """The fields of `Limits`, as keywords."""

    max_fields: int
    max_files: int
    max_parts: int
    max_part_size: int
    max_text_size: int
    max_file_size: int
    max_total_size: int
    max_header_size: int


def form_data(
    *,
    upload_handler: UploadHandler | None = None,
    suppress_errors: bool = False,
    **limits: Unpack[FormLimits],
) -> Callable[[ASGIApp], ASGIApp]:
    """
    Return a middleware that reads forms: `context.get(FormData)`.

    A request without a form has an empty `FormData`, and so has a GET or HEAD. A form over a limit
    is answered with 413 or 400 while it arrives. Uploads are closed when the request ends.

    Args:
        upload_handler: Called with each upload after the whole form was read within its limits.
            None: the form holds the uploads.
        suppress_errors: Attach an empty form if the form is malformed, instead of answering 400. A
            form over a limit is refused in any case.
        limits: The fields of `Limits`, with its defaults: `form_data(max_files=3)`.

    Raises:
        ConfigurationError: A limit is not an integer from 0 up.
    """
    return partial(
        FormDataMiddleware,
        limits=Limits(**limits),
        upload_handler=upload_handler,
        suppress_errors=suppress_errors,
    )


class FormDataMiddleware:
    """
    An ASGI application whose HTTP requests have a `FormData`: for `add_middleware`.

    Args:
        app: The application.
        limits: The limits of a form; None: the defaults of `Limits`.
        upload_handler: As in `form_data`.
        suppress_errors: As in `form_data`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits | None = None,
        upload_handler: UploadHandler | None = None,
        suppress_errors: bool = False,
    ) -> None:
        self.app = app
        self.limits = limits or Limits()
        self.upload_handler = upload_handler
        self.suppress_errors = suppress_errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, connection or lifespan."""
        if scope["type"] != "http" or Context(scope).has(FormData):
            await self.app(scope, receive, send)
            return
        scope = dict(scope)
        make_parser = _parser_of(scope)
        if make_parser is None:
            Context(scope).set(FormData, FormData())
            await self.app(scope, receive, send)
            return
        body = Body(receive, self.limits)
        try:
            await self._with_form(scope, body, make_parser, send)
        finally:
            body.close()

    async def _with_form(
        self, scope: Scope, body: Body, make_parser: MakeParser, send: Send
    ) -> None:
        try:
            form = await self._read(Headers(scope=scope), body, make_parser)
        except MultiPartException as error:
            status = error.status if isinstance(error, OverLimit) else 400
            refusal = PlainTextResponse(f"{error.message}\n", status_code=status)
            await refusal(scope, body.replay, send)
            return
        try:
            Context(scope).set(FormData, await self._handled(form))
            await self.app(scope, body.replay, send)
        finally:
            for upload in _uploads(form):
                upload.file.close()  # at once, so that a cancelled request closes it too

    async def _read(self, headers: Headers, body: Body, make_parser: MakeParser) -> FormData:
        """
        Return the form after the end of its body.

        Raises:
            MultiPartException: The form is malformed, or over a limit.
        """
        check_total(announced_size(headers), self.limits)
        async with aclosing(body.stream()) as stream:
            try:
                form = await make_parser(headers, stream, self.limits).parse()
            except OverLimit:
                raise
            except MultiPartException:
                if not self.suppress_errors:
                    raise
                form = FormData()
        await body.rewind()
        return form

    async def _handled(self, form: FormData) -> FormData:
        """Return the form, each upload replaced by what the upload handler returns."""
        handler = self.upload_handler
        if handler is None:
            return form
        items: list[tuple[str, Any]] = []
        for name, value in form.multi_items():
            kept = await call(handler, value) if isinstance(value, UploadFile) else value
            items.append((name, kept))
        return FormData(items)


def _uploads(form: FormData) -> list[UploadFile]:
    return [value for _, value in form.multi_items() if isinstance(value, UploadFile)]


def _parser_of(scope: Scope) -> MakeParser | None:
    """Return the parser of the request's body, or None if the request has no form."""
    if scope["method"] in ("GET", "HEAD"):
        return None
    media_type = Headers(scope=scope).get("content-type", "").partition(";")[0]
    return PARSERS.get(media_type.strip().lower())
