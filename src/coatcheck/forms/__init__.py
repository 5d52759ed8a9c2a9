"""
Forms, read while the body arrives, within limits.

    router = Router(middleware=[form_data(max_files=3, max_file_size=5_000_000)])

    form = context.get(FormData)
    form["name"], form.getlist("tag"), form["photo"].filename

A form with too many fields, files or parts is answered with 400, one with too many bytes with 413.
Starlette and `python-multipart` parse the form. The application can still read the body itself.
"""

try:
    import python_multipart as _parser
    from starlette.datastructures import FormData, UploadFile
except ImportError as missing:
    raise ImportError(
        "coatcheck.forms needs Starlette and python-multipart: pip install 'coatcheck[router]'",
        name=missing.name,
    ) from missing

from coatcheck.forms.limits import Limits
from coatcheck.forms.middleware import FormDataMiddleware, UploadHandler, form_data

del _parser

__all__ = ["FormData", "FormDataMiddleware", "Limits", "UploadFile", "UploadHandler", "form_data"]
