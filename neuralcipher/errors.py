"""The errors a user can meet: each carries one sentence, a hint and an exit code.

The sentence says what is wrong and with which file; the hint says what to do. Only `neuralcipher.cli` prints them.
No message ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_DAMAGED = 4
EXIT_WRONG_KEY = 5
EXIT_OUTPUT_EXISTS = 6
EXIT_INTERRUPTED = 130

COPY_HINT = "fetch the file again from where it came from"
"""What to do about a damaged file."""


class NeuralCipherError(Exception):
    """Base of every error this package raises on purpose.

    message: one sentence, lower case, without a full stop. hint: what to do, or "".
    """

    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def place_of(error: BaseException) -> tuple[str, int] | None:
    """File and line where an exception was raised, for a sentence about a fault of ours; None if it never was."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return None if place is None else (place.tb_frame.f_code.co_filename, place.tb_lineno)


class UsageError(NeuralCipherError):
    """A wrong option, a missing path, or a combination that makes no sense."""

    exit_code = EXIT_USAGE


class ShapeError(UsageError):
    """A tensor does not have the shape or dtype that a generator or flow needs."""


class CheckFailedError(NeuralCipherError):
    """A check ran and failed: a collapsed generator, a diverged fit."""


class WriteError(NeuralCipherError):
    """The output could not be written (disk full, I/O error): under its name is what was there, or, as the message
    says then, the whole output that the disk did not confirm."""


class OutputExistsError(NeuralCipherError):
    """The output is there already and was not to be overwritten."""

    exit_code = EXIT_OUTPUT_EXISTS


class VideoError(NeuralCipherError):
    """The input is not a video that can be decoded."""

    exit_code = EXIT_DAMAGED


class ReportFileError(NeuralCipherError):
    """The file is not a finished report of `ncipher attack`."""

    exit_code = EXIT_DAMAGED


class KeyFileError(NeuralCipherError):
    """The key file is not 32 bytes, or is something else."""

    exit_code = EXIT_DAMAGED


class WrongKeyError(NeuralCipherError):
    """No slot of the bundle opens with this key or passphrase."""

    exit_code = EXIT_WRONG_KEY


class BundleError(NeuralCipherError):
    """The bundle cannot be read; the children say why."""

    exit_code = EXIT_DAMAGED


class NotABundleError(BundleError):
    """The magic bytes are not those of a bundle."""


class UnsupportedError(BundleError):
    """A version, suite, generator or flow that this installation does not have."""


class HeaderDamagedError(BundleError):
    """The header is not canonical, or its MAC or checksum does not match."""


class PayloadDamagedError(BundleError):
    """A chunk, the directory or a section does not verify or parse."""


class TruncatedError(BundleError):
    """The file ends before the bundle does."""


class LimitError(BundleError):
    """A stated length or cost is above what a reader accepts."""


class OutOfMemoryError(NeuralCipherError):
    """There was not enough memory for a video."""

    def __init__(self) -> None:
        super().__init__("there is not enough memory", hint="shrink it with --scale")


class CancelledError(NeuralCipherError):
    """The caller asked to stop; nothing was left under the output's name."""

    exit_code = EXIT_INTERRUPTED
