"""What an unfinished sealing has reached, encrypted, in a folder beside the output, so that it can go on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuralcipher.container.checkpoint import CheckpointCipher
from neuralcipher.errors import NeuralCipherError, UsageError
from neuralcipher.files import output_file
from neuralcipher.keys import Credential
from neuralcipher.pipeline.beginning import Beginning

HEADER, IDENTITY, LOCK = "header", "identity", "lock"
_ANEW = "pass --no-resume to begin anew, which drops what is there"

Identity = Mapping[str, Any]
"""What must be the same for a sealing to go on: the video's digest, the options, the version."""


def checkpoint_folder(output: Path) -> Path:
    """Where the checkpoint of a bundle lies while it is made."""
    return output.with_name(output.name + ".checkpoint")


class Checkpoint:
    """The folder, made when there is something to keep. One process at a time uses it.

    identity: of this sealing, found out when it is needed. every_s: seconds between two notes of one fit.
    tell: called once with a sentence if nothing can be kept.
    """

    def __init__(
        self,
        output: Path,
        beginning: Beginning,
        identity: Callable[[], Identity],
        every_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self.folder = checkpoint_folder(output)
        self.beginning = beginning
        self.every_s = every_s
        self._identity, self._tell = identity, tell
        self._cipher = CheckpointCipher(beginning.root, beginning.salt)
        self._lock: int | None = None
        self._usable = True

    @classmethod
    def resume(
        cls,
        output: Path,
        keys: Sequence[Credential],
        identity: Callable[[], Identity],
        every_s: float,
        tell: Callable[[str], None],
    ) -> Checkpoint | None:
        """The checkpoint that an earlier process left for this output, or None.

        Raises UsageError if it is of another video, key or configuration, damaged, or in use.
        """
        folder = checkpoint_folder(output)
        if not (folder / IDENTITY).is_file():  # written last: without it nothing was kept
            return None
        try:
            beginning = Beginning.kept(folder / HEADER, keys)
            found = cls(output, beginning, identity, every_s, tell)
            kept = json.loads(found._cipher.open(IDENTITY, (folder / IDENTITY).read_bytes()))
        except (NeuralCipherError, OSError) as error:
            raise UsageError(f"{folder} is of another key, or damaged", hint=_ANEW) from error
        wanted = json.loads(json.dumps(identity()))
        other = sorted(name for name in wanted.keys() | kept.keys() if wanted.get(name) != kept.get(name))
        if other:
            raise UsageError(f"{folder} is of a sealing with another {' and '.join(other)}", hint=_ANEW)
        found._take_lock()
        return found

    @staticmethod
    def drop(output: Path) -> None:
        """Remove what an earlier process left. Raises UsageError if one is at work in it."""
        folder = checkpoint_folder(output)
        if folder.is_dir():
            descriptor = _locked(folder)
            _remove(folder)
            _unlock(descriptor)

    @property
    def is_kept(self) -> bool:
        """Whether the folder holds anything to go on from."""
        return self._lock is not None and (self.folder / IDENTITY).is_file()

    def has_segment(self, number: int) -> bool:
        """Whether a segment is finished."""
        return self._lock is not None and (self.folder / _segment_name(number)).is_file()

    def segment(self, number: int) -> bytes | None:
        """A finished segment, or None. Raises UsageError if it is damaged."""
        return self._read(_segment_name(number))

    def kept_notes(self, number: int) -> bytes | None:
        """The notes of the fit of a segment, or None. Raises UsageError if they are damaged."""
        return self._read(f"fit-{number:06}")

    def keep_notes(self, number: int, data: bytes) -> None:
        """Keep the notes of the fit of a segment."""
        self._write(f"fit-{number:06}", data)

    def add(self, number: int, data: bytes) -> None:
        """Keep a finished segment; the notes of its fit are not needed any more."""
        self._write(_segment_name(number), data)
        with contextlib.suppress(OSError):
            (self.folder / f"fit-{number:06}").unlink()

    def remove(self) -> None:
        """Remove the folder: the bundle is complete."""
        if self._lock is not None:
            _remove(self.folder)
            self.close()

    def close(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            _unlock(self._lock)
            self._lock = None

    def _read(self, name: str) -> bytes | None:
        try:
            stored = (self.folder / name).read_bytes() if self._lock is not None else None
        except FileNotFoundError:
            return None
        try:
            return None if stored is None else self._cipher.open(name, stored)
        except NeuralCipherError as error:
            raise UsageError(f"{self.folder} is damaged in {name}", hint=_ANEW) from error

    def _write(self, name: str, data: bytes) -> None:
        """Keep a file, or go on without: a checkpoint that cannot be written must not end a sealing that can."""
        if not self._usable:
            return
        try:
            if self._lock is None:
                self._make()
            self._put(name, data)
        except (NeuralCipherError, OSError) as error:
            self._usable = False
            reason = error.message if isinstance(error, NeuralCipherError) else (error.strerror or "").lower()
            self._tell(f"nothing is kept in case this is interrupted: {reason}")

    def _put(self, name: str, data: bytes) -> None:
        with output_file(self.folder / name, force=True, private=True) as file:
            file.write(self._cipher.seal(name, data))

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._take_lock()
        for entry in self.folder.iterdir():  # of a process that was killed before there was anything to keep
            if entry.name != LOCK:
                entry.unlink()
        with output_file(self.folder / HEADER, force=True, private=True) as file:
            self.beginning.writer(file)
        self._put(IDENTITY, json.dumps(self._identity()).encode())

    def _take_lock(self) -> None:
        self._lock = _locked(self.folder)


def _segment_name(number: int) -> str:
    return f"segment-{number:06}"


def _locked(folder: Path) -> int:
    """Take the folder for this process. Raises UsageError if another has it."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        import fcntl
    except ImportError:  # Windows: two sealings to one output are told apart at the end
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UsageError(
            f"another process is at work in {folder}", hint="wait for it, or choose another output with -o"
        ) from error
    return descriptor


def _unlock(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove our files, the one that makes it a checkpoint first, and the folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        names = [IDENTITY, *(e.name for e in folder.iterdir() if _is_ours(e.name)), LOCK]
        for name in names:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _is_ours(name: str) -> bool:
    return name == HEADER or name.startswith(("segment-", "fit-", "."))
