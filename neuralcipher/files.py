"""Files that are either whole or absent: checked inputs, outputs published in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from neuralcipher.errors import NeuralCipherError, OutputExistsError, UsageError, WriteError
from neuralcipher.exchange import exchange, rename_to_free

# The first bytes of a bundle (docs/format.md). They stand here, below `keys`, so that a bundle given as a key
# is told apart.
BUNDLE_MAGIC = b"\x89NCV\r\n\x1a\n"

_NO_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
    errno.EACCES,
}
_BODY_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_WRITE_HINTS = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another folder with -o"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another folder with -o"),
    errno.EFBIG: (
        "it would grow beyond the largest file allowed here",
        "check ulimit -f, or choose another disk",
    ),
    errno.EIO: ("the disk reports an input/output error", "choose another disk"),
}
_FORCE_HINT = "pass --force to overwrite it"


def check_input(path: Path, noun: str, *, empty: type[NeuralCipherError] = UsageError) -> None:
    """Refuse an input that cannot be read at all.

    noun: what messages call it, such as "video". empty: the error for a file of 0 bytes.
    Raises UsageError if it is missing, a folder or unreadable. Pipes are let through.
    """
    try:
        info = path.stat()
    except OSError as error:
        raise _input_error(path, noun, error) from error
    if stat.S_ISDIR(info.st_mode):
        raise UsageError(f"{path} is a folder, not a {noun}", hint=f"give the path of one {noun}")
    if not os.access(path, os.R_OK):
        raise UsageError(f"the {noun} {path} may not be read", hint="check its permissions")
    if stat.S_ISREG(info.st_mode) and info.st_size == 0:
        raise empty(f"the {noun} {path} is empty", hint="check where it was copied from")


def _input_error(path: Path, noun: str, error: OSError) -> UsageError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return UsageError(f"the {noun} {path} does not exist", hint="check the spelling of the path")
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(f"the {noun} {path} may not be read", hint="check its permissions")
    return UsageError(f"the {noun} {path} cannot be read: {_reason(error)}", hint="check the path")


def read_small(path: Path, noun: str, limit: int) -> bytearray:
    """Return up to `limit` + 1 bytes of a small file or pipe, so that the caller sees when it is longer.

    No other copy stays: what is read may be a secret. Raises UsageError if it is missing, a folder or unreadable.
    """
    try:
        with path.open("rb", buffering=0) as file:
            room = bytearray(limit + 1)
            length = 0
            with memoryview(room) as view:
                while length <= limit and (more := file.readinto(view[length:])):
                    length += more
                data = bytearray(view[:length])
            room[:] = bytes(len(room))  # shortened in place, it might move and leave a copy
            return data
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, not a {noun}", hint=f"give the path of one {noun}") from error
    except OSError as error:
        raise _input_error(path, noun, error) from error


def check_output(path: Path, *, force: bool, inputs: Sequence[Path] = (), folder: bool = False) -> None:
    """Refuse, before any work is done, an output that could not be published later.

    inputs: files that it must not be, also through links. folder: whether the output is itself a folder.
    Raises OutputExistsError if it is there and `force` is not set; UsageError if it is an input or of another
    type, or if its folder is missing or read-only.
    """
    for source in inputs:
        with contextlib.suppress(OSError):
            if path.samefile(source):
                raise UsageError(f"{path} is both an input and the output", hint="choose another output with -o")
    _check_free(path, force=force, folder=folder)
    parent = path.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist", hint="make the folder first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"the folder of {path} may not be written to", hint="choose another folder with -o")


def _check_free(path: Path, *, force: bool, folder: bool) -> None:
    try:
        there = os.path.lexists(path)
    except OSError as error:  # pragma: no cover - lexists hides most of them
        raise _output_error(path, error) from error
    if not there:
        return
    if path.is_dir() and not folder:
        raise UsageError(f"{path} is a folder", hint="give a file name with -o")
    if path.exists() and not (path.is_dir() or path.is_file()):
        raise UsageError(f"{path} is a device or a pipe, not a file", hint="give a file name with -o")
    if not force:
        raise OutputExistsError(f"{path} exists already", hint=_FORCE_HINT)
    if folder and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder", hint="choose another folder with -o")


@contextlib.contextmanager
def output_file(path: Path, *, force: bool, private: bool = False) -> Iterator[BinaryIO]:
    """Open a new file for writing that appears under `path` only when it is complete and on disk.

    private: mode 0600 instead of what the umask gives. On any exception nothing is left behind.
    Raises OutputExistsError, also if the file appears meanwhile; WriteError on a full or failing disk;
    UsageError as `check_output` does.
    """
    with _publishing(path, force=force, private=private, suffix=".part") as (_, descriptor):
        file = os.fdopen(descriptor, "wb")
        with file:
            yield file
            file.flush()
            os.fsync(descriptor)


@contextlib.contextmanager
def output_path(path: Path, *, force: bool, private: bool = False) -> Iterator[Path]:
    """As `output_file`, for writers that open by name: yields a temporary path with the same suffix."""
    with _publishing(path, force=force, private=private, suffix=".part" + path.suffix) as (
        temporary,
        descriptor,
    ):
        os.close(descriptor)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())


@contextlib.contextmanager
def output_folder(path: Path, *, force: bool, suffixes: Collection[str] = (".png",)) -> Iterator[Path]:
    """Make a folder that appears under `path` only when the block that fills it has ended well.

    suffixes: with `force`, an existing folder is replaced only if it holds nothing but plain files with these
    suffixes, so that a slip of the hand cannot remove a home folder. Raises as `output_file` does.
    """
    _check_free(path, force=force, folder=True)
    temporary = _temporary(path, ".part")
    try:
        try:
            with _translated(path):
                temporary.mkdir(mode=0o700)
            with _translated(path, only=_BODY_ERRORS):
                yield temporary
            with _translated(path):
                for entry in temporary.iterdir():
                    _sync(entry)
                _sync(temporary)
                temporary.chmod(0o777 & ~_umask())
                _publish_folder(temporary, path, force=force, suffixes=suffixes)
            _confirm(path)
        finally:
            _remove_folder(temporary)
    finally:
        _remove_folder(temporary)  # again, for a signal that arrived in the middle of the first


def _publish_folder(temporary: Path, path: Path, *, force: bool, suffixes: Collection[str]) -> None:
    """Give the folder its final name. An old one gets the temporary name, or is gone."""
    if not os.path.lexists(path):
        _rename_folder(temporary, path)
        return
    _check_free(path, force=force, folder=True)
    for entry in path.iterdir():
        if entry.suffix.lower() not in suffixes or entry.is_symlink() or not entry.is_file():
            raise UsageError(f"{path} holds other things than pictures", hint="choose another folder with -o")
    if not exchange(temporary, path):
        _replace_folder(temporary, path)


def _rename_folder(temporary: Path, path: Path) -> None:
    try:
        if not rename_to_free(temporary, path):
            temporary.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise OutputExistsError(f"{path} exists already", hint=_FORCE_HINT) from error


def _replace_folder(temporary: Path, path: Path) -> None:
    """In two steps, where there is no better way: a kill between them leaves the old folder as .NAME.*.old."""
    old = _temporary(path, ".old")
    try:
        path.rename(old)
        temporary.rename(path)
    finally:
        if os.path.lexists(path):
            _remove_folder(old)
        else:
            old.rename(path)


def _remove_folder(path: Path) -> None:
    if path.is_symlink():
        with contextlib.suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _publishing(path: Path, *, force: bool, private: bool, suffix: str) -> Iterator[tuple[Path, int]]:
    """Yield a new temporary file and its descriptor, which the block closes; publish it, or remove it."""
    _check_free(path, force=force, folder=False)
    temporary = _temporary(path, suffix)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        try:
            with _translated(path):
                descriptor = os.open(temporary, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
            with _translated(path, only=_BODY_ERRORS):
                yield temporary, descriptor
            with _translated(path):
                temporary.chmod(0o600 if private else 0o666 & ~_umask())
                if force:
                    temporary.replace(path)
                else:
                    _link(temporary, path)
            _confirm(path)
        finally:
            # After a replace there is nothing left to remove; after a link this drops the second name.
            _remove_file(temporary)
    finally:
        _remove_file(temporary)  # again, for a signal that arrived in the middle of the first


def _remove_file(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _confirm(path: Path) -> None:
    """Bring the name of a published output to the disk; the output itself is there."""
    try:
        _sync(path.absolute().parent)
    except PermissionError:  # a folder that may be written to and not read cannot be asked
        return
    except OSError as error:
        reason, _ = _WRITE_HINTS.get(error.errno or 0, (_reason(error), ""))
        raise WriteError(
            f"{path} is written, but might be lost in a power cut: {reason}", hint="check the disk, and copy the file"
        ) from error


def _link(temporary: Path, path: Path) -> None:
    """Give the file its final name unless that is taken: in one step where the disk has hard links."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise OutputExistsError(f"{path} exists already", hint=_FORCE_HINT) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _check_free(path, force=False, folder=False)
        temporary.replace(path)


def _temporary(path: Path, suffix: str) -> Path:
    # A name close to the limit of 255 bytes must still fit with the random part.
    stem = path.name.encode("utf-8", "surrogateescape")[:128].decode("utf-8", "ignore")
    return path.with_name(f".{stem}.{secrets.token_hex(6)}{suffix}")


def _umask() -> int:
    # The umask can only be read by setting it: set a strict one, so that another thread's new file is never
    # more open than it should be.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some file systems sync no folders
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(path: Path, only: Collection[int] | None = None) -> Iterator[None]:
    """Turn an OSError about the output into the error a user sees; others, such as of another file, pass."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise _output_error(path, error) from error


def _output_error(path: Path, error: OSError) -> NeuralCipherError:
    code = error.errno or 0
    if code in _WRITE_HINTS:
        reason, hint = _WRITE_HINTS[code]
        return WriteError(f"{path} could not be written: {reason}", hint=hint)
    if code in (errno.ENOENT, errno.ENOTDIR):
        return UsageError(f"the folder of {path} does not exist", hint="make the folder first")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UsageError(f"the folder of {path} may not be written to", hint="choose another folder with -o")
    if code == errno.ENAMETOOLONG:
        return UsageError(f"the name of {path} is too long for this disk", hint="choose a shorter one with -o")
    return WriteError(f"{path} could not be written: {_reason(error)}", hint="choose another folder with -o")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
