"""Options of variants as NAME=NUMBER."""

from __future__ import annotations

from collections.abc import Sequence

from neuralcipher.errors import UsageError


def number_options(pairs: Sequence[str], owner: str, example: str) -> dict[str, int]:
    """{"steps": 500} of ["steps=500"]. owner, example: for the sentence of the UsageError about anything else."""
    options: dict[str, int] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        digits = value.removeprefix("-")
        if not separator or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            raise UsageError(f"{pair!r} is not an option of {owner}", hint=f"write NAME=NUMBER, such as {example}")
        options[name.replace("-", "_")] = int(value)
    return options
