"""
Forms, read while they stream, within limits.

    router = Router(middleware=[form_data(max_files=3, max_file_size=5_000_000)])

    form = context.get(FormData)
    form["name"], form.getlist("tag"), form["photo"].filename

Too many fields, files or parts are answered with 400, too many bytes with 413. Starlette's parsers
do the parsing, on `python-multipart`. The application behind can still read the body.
"""

from starlette.datastructures import FormData, UploadFile

from coatcheck.forms.limits import Limits
from coatcheck.forms.middleware import FormDataMiddleware, UploadHandler, form_data

__all__ = ["FormData", "FormDataMiddleware", "Limits", "UploadFile", "UploadHandler", "form_data"]
