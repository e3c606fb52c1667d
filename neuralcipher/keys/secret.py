"""Thirty-two bytes that never show themselves."""

from __future__ import annotations

import hmac
from typing import NoReturn

SECRET_BYTES = 32


class Secret:
    """32 secret bytes: hidden in repr, compared in constant time, never pickled or copied by accident.

    Raises ValueError, without the bytes, if there are not exactly 32 of them.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a {type(self).__name__} has {SECRET_BYTES} bytes, not {len(secret)}")
        self._secret = bytes(secret)

    def reveal(self) -> bytes:
        """The 32 bytes, for a primitive that needs them: never for a message or a log."""
        return self._secret

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not hashable")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled or copied")
