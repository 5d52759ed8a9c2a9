"""`coatcheck secret`: a new secret for cookies."""

from secrets import token_urlsafe

from coatcheck._commands.output import Output

BYTES = 48
"""Random bytes of a secret: more than any seal uses."""


def secret(output: Output) -> int:
    """Write a new secret, and return the exit code."""
    made = token_urlsafe(BYTES)
    if output.as_json:
        output.value({"secret": made})
    else:
        output.line(made)
    return 0
