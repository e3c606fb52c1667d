"""Secret bytes that never show themselves, and are overwritten when they are no longer needed."""

from __future__ import annotations

import hmac
from types import TracebackType
from typing import NoReturn, TypeVar

SECRET_BYTES = 32

_Self = TypeVar("_Self", bound="Hidden")


class Hidden:
    """Bytes hidden in repr, compared in constant time, never pickled or copied by accident.

    They lie in one buffer, which `wipe`, leaving a `with` block, or the end of the object overwrites with zeros. That
    reaches this buffer alone: Python and the libraries make copies on the way that cannot be reached (SECURITY.md).
    """

    __slots__ = ("_buffer",)

    def __init__(self, secret: bytes | bytearray) -> None:
        self._buffer: bytearray | None = bytearray(secret)

    def buffer(self) -> bytearray:
        """The bytes themselves, for a primitive that reads them and keeps nothing. Raises ValueError if wiped."""
        if self._buffer is None:
            raise ValueError(f"this {type(self).__name__} was wiped")
        return self._buffer

    def reveal(self) -> bytes:
        """A copy of the bytes, which nobody will wipe: never for a message, a log or a disk."""
        return bytes(self.buffer())

    def wipe(self) -> None:
        """Overwrite the bytes; the object is of no use afterwards. Twice does no harm."""
        if self._buffer is not None:
            wipe(self._buffer)
            self._buffer = None

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __del__(self) -> None:
        if getattr(self, "_buffer", None) is not None:  # a subclass may have refused its argument
            self.wipe()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self.buffer(), other.buffer())

    def __hash__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not hashable")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled or copied")


class Secret(Hidden):
    """32 secret bytes. Raises ValueError, without the bytes, if there are not exactly 32 of them."""

    __slots__ = ()

    def __init__(self, secret: bytes | bytearray) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a {type(self).__name__} has {SECRET_BYTES} bytes, not {len(secret)}")
        super().__init__(secret)


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros, in place."""
    buffer[:] = bytes(len(buffer))
