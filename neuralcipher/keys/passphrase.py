"""Passphrases, and the price that Argon2id puts on guessing one."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from neuralcipher.errors import LimitError, UnsupportedError, UsageError
from neuralcipher.keys.private import read_private
from neuralcipher.keys.secret import Hidden, wipe

MAX_PASSPHRASE_BYTES = 65_536
MAX_T = 16
MAX_M_KIB = 1 << 20
MAX_P = 16
ARGON2_BYTES = 32


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """Cost of one guess. The defaults are the second recommended option of RFC 9106, section 4.

    t: passes, 1..16. m_kib: memory in KiB, 8 p..2**20. p: lanes, 1..16.
    Raises LimitError above a limit, since a hostile file could otherwise take the machine down; UsageError
    below one.
    """

    t: int = 3
    m_kib: int = 65_536
    p: int = 4

    def __post_init__(self) -> None:
        over = argon2_excess(self.t, self.m_kib, self.p)
        if over:
            raise LimitError(f"argon2id with {over} costs too much", hint=f"at most {argon2_limits()}")
        if not argon2_sufficient(self.t, self.m_kib, self.p):
            raise UsageError("argon2id needs t >= 1, p >= 1 and m >= 8 p KiB", hint="use the defaults")


def argon2_excess(t: int, m_kib: int, p: int) -> str:
    """Name the parameter above its limit, with its value, or return ""."""
    for name, value, limit in (("t", t, MAX_T), ("m_kib", m_kib, MAX_M_KIB), ("p", p, MAX_P)):
        if value > limit:
            return f"{name}={value}"
    return ""


def argon2_sufficient(t: int, m_kib: int, p: int) -> bool:
    """Whether Argon2 itself accepts the parameters. Source: RFC 9106, section 3.1."""
    return t >= 1 and p >= 1 and m_kib >= 8 * p


def argon2_limits() -> str:
    """The limits as a message shows them."""
    return f"t={MAX_T}, m_kib={MAX_M_KIB}, p={MAX_P} are accepted"


class Passphrase(Hidden):
    """Text that a person remembers; UTF-8 of its NFC form, 1..65,536 bytes, hidden in repr and wiped as keys are.

    NFC, so that the same letters typed on another system give the same bytes. Raises UsageError if empty,
    too long, or not text.
    """

    __slots__ = ()

    def __init__(self, text: str) -> None:
        try:
            encoded = unicodedata.normalize("NFC", text).encode("utf-8")
        except UnicodeEncodeError:
            # `from None`: the exception would carry the passphrase.
            raise UsageError("the passphrase is not valid text", hint="type it again") from None
        if not encoded:
            raise UsageError("the passphrase is empty", hint="type at least one character")
        if len(encoded) > MAX_PASSPHRASE_BYTES:
            raise UsageError("the passphrase is longer than 65,536 bytes", hint="use a key file instead")
        super().__init__(encoded)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Passphrase:
        """Read a passphrase file: one line of UTF-8; the newline at its end, if any, does not count.

        Raises UsageError if it is missing, unreadable, empty, too long, or has more lines.
        """
        path = Path(path)
        with read_private(path, "passphrase file", MAX_PASSPHRASE_BYTES + 2) as content:
            data = content.removesuffix(b"\n").removesuffix(b"\r")
        try:
            return cls._of_line(path, data)
        finally:
            wipe(data)

    @classmethod
    def _of_line(cls, path: Path, data: bytearray) -> Passphrase:
        if b"\n" in data or b"\r" in data:
            raise UsageError(f"the passphrase file {path} has more than one line", hint="keep one line in it")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"the passphrase file {path} is not UTF-8 text", hint="save it as UTF-8") from None
        if not text:
            raise UsageError(f"the passphrase file {path} is empty", hint="put one line in it")
        return cls(text)

    def stretch(self, salt: bytes, parameters: Argon2Parameters) -> bytes:
        """Return the 32 bytes of Argon2id. salt: 16 bytes. Source: RFC 9106.

        Raises UnsupportedError if the crypto library lacks Argon2id, LimitError if there is no memory for it.
        """
        try:
            argon2 = Argon2id(
                salt=salt,
                length=ARGON2_BYTES,
                iterations=parameters.t,
                lanes=parameters.p,
                memory_cost=parameters.m_kib,
            )
            return argon2.derive(cast(bytes, self.buffer()))  # it takes any buffer, and is typed for bytes
        except UnsupportedAlgorithm:
            raise UnsupportedError(
                "this installation has no argon2id, which a passphrase needs",
                hint="install cryptography >= 44 with OpenSSL >= 3.2, or use a key file",
            ) from None
        except MemoryError:
            raise LimitError(
                f"the passphrase slot needs {parameters.m_kib} KiB of memory, more than there is",
                hint="close other programs, or use a key file",
            ) from None
