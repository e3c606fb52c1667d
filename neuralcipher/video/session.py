"""The parent's side of the child that decodes: starting it, asking it, and a sentence for every way it can end.

Nothing that comes from the child is trusted: lengths are bounded before they are read, values are checked by who asked.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from neuralcipher.errors import NeuralCipherError, UsageError, VideoError
from neuralcipher.video.limits import Limits
from neuralcipher.video.wire import LENGTH, MAX_MESSAGE_BYTES, pack, told, unpack

LIMITS = Limits()
# Isolated, without site: it takes its path from its parent, so that both run the same code, and nothing from the
# working directory or from PYTHON* variables.
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from neuralcipher.video.child import main; main()"
# What a loader or an interpreter needs to start; everything else stays here, NCIPHER_* before all.
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
# The allocator reserves address space for each arena; a few are enough for decoders.
_ADDED_VARIABLES = {"MALLOC_ARENA_MAX": "4"}
_SLICE_MS = 1000
_ENDS_WITHIN_S = 5.0
# Well within the time for which an idle child waits: it must not end just as it is asked again.
_IDLE_AT_MOST_S = 4.0
_CRASHES = frozenset(
    getattr(signal, name, None) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS")
)
_TOO_LONG = "check that it plays elsewhere, or convert it first"


def command() -> list[str]:
    """The command that starts a child."""
    root = str(Path(__file__).resolve().parents[2])
    path = [root, *(entry for entry in sys.path if os.path.isabs(entry) and entry != root)]
    quiet = ["-B"] if sys.dont_write_bytecode else []
    return [sys.executable, "-I", "-S", *quiet, "-c", _BOOT, *path]


def environment() -> dict[str, str]:
    """The variables a child is given."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | _ADDED_VARIABLES


class Session:
    """A child that reads one video. Use `session` rather than this class.

    path: absolute. Raises NeuralCipherError if no process can be started.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._name = path.name or str(path)
        self._limits = limits
        self._owner = os.getpid()
        self._idle_since = time.monotonic()
        self.identity = _identity(path)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with a constant program
                command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                bufsize=0,
                # ^C and a closed terminal concern the parent, which ends its child.
                start_new_session=True,
            )
        except OSError as error:
            raise NeuralCipherError(
                f"no process can be started to decode {self._name}: {(error.strerror or 'error').lower()}",
                hint="close other programs and try again",
            ) from None
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        self._poll: Any = None
        if hasattr(select, "poll"):
            os.set_blocking(self._answers.fileno(), False)
            self._poll = select.poll()
            self._poll.register(self._answers.fileno(), select.POLLIN)
        self._send("open", os.fsencode(path), limits.memory_bytes, limits.stall_s)

    def rest(self) -> None:
        """Note that no answer is awaited."""
        self._idle_since = time.monotonic()

    @property
    def usable(self) -> bool:
        """Whether the child lives, will live on, and is this process's own, not that of one it was forked from."""
        fresh = time.monotonic() - self._idle_since < _IDLE_AT_MOST_S
        return fresh and self._owner == os.getpid() and self._process.poll() is None

    def ask(self, *request: object) -> None:
        """Send a request; `hear` gives the answers."""
        self._send(*request)

    def hear(self, *kinds: str) -> tuple[str, list[Any]]:
        """The next answer: which of `kinds` it is, and its parts. Raises what the child reports, or that it broke."""
        while True:
            head = bytearray(LENGTH.size)
            self.fill(memoryview(head))
            size = LENGTH.unpack(head)[0]
            if size > MAX_MESSAGE_BYTES:
                self.nonsense()
            body = bytearray(size)
            self.fill(memoryview(body))
            try:
                heard, *parts = unpack(body)
            except ValueError:
                self.nonsense()
            if heard in kinds:
                return heard, parts
            if heard != "tick":
                self._raise(heard, parts)

    def fill(self, view: memoryview) -> None:
        """Read exactly so many bytes."""
        waited = 0
        while view:
            count = cast(Any, self._answers).readinto(view)
            if count is None:
                # Slices of waiting, not a clock: time in which everything was suspended does not count.
                waited += not self._poll.poll(_SLICE_MS)
                if waited * _SLICE_MS >= 1000 * self._limits.stall_s:
                    self.close()
                    self._stalled()
            elif count == 0:
                self._ended()
            else:
                view = view[count:]
                waited = 0

    def nonsense(self) -> NoReturn:
        """The child said what it never says: FFmpeg was made to do something else."""
        self.close()
        raise VideoError(
            f"the decoder of {self._name} sent what is no answer",
            hint="the video may be made to do harm; do not open it elsewhere",
        )

    def close(self) -> None:
        """End the child, whatever it is at."""
        if self._owner != os.getpid():
            return
        self._process.kill()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        self._process.wait()

    def _send(self, *request: object) -> None:
        with suppress(BrokenPipeError):  # why it is gone is found out by listening
            self._requests.write(pack(*request))

    def _raise(self, heard: str, parts: list[Any]) -> NoReturn:
        texts = [told(part) for part in parts if type(part) is str]
        if len(texts) != len(parts) or len(texts) != {"usage": 2, "video": 2, "memory": 0}.get(heard, 1):
            self.nonsense()
        if heard == "usage":
            raise UsageError(texts[0], hint=texts[1])
        if heard == "video":
            raise VideoError(texts[0], hint=texts[1])
        if heard == "memory":
            gib = self._limits.memory_bytes / 2**30
            raise VideoError(f"decoding {self._name} takes more than {gib:.3g} GiB of memory", hint="shrink it first")
        if heard == "ffmpeg":
            raise VideoError(f"{self._name} cannot be decoded", hint=f"FFmpeg says: {texts[0]}")
        if heard == "fault":
            raise NeuralCipherError(f"decoding {self._name} failed: {texts[0]}", hint="report this as a bug")
        self.nonsense()

    def _stalled(self) -> NoReturn:
        raise VideoError(f"decoding {self._name} got nowhere for {self._limits.stall_s} s", hint=_TOO_LONG)

    def _ended(self) -> NoReturn:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_WITHIN_S)
        code = self._process.poll()
        self.close()
        name = self._name
        if code is None or code == 0:  # it stopped talking, in the middle of an answer
            self.nonsense()
        if code == -getattr(signal, "SIGXCPU", 0):
            self._stalled()
        if -code in _CRASHES:
            raise VideoError(
                f"FFmpeg crashed while it decoded {name}",
                hint="the video is damaged, or made to do harm; convert it elsewhere, or leave it",
            )
        if code == -getattr(signal, "SIGKILL", 0):
            raise VideoError(
                f"the system ended the decoding of {name}, as it does when memory runs out",
                hint="close other programs, or shrink the video first",
            )
        raise NeuralCipherError(
            f"the process that decodes {name} ended with exit code {code}", hint="check the installation"
        )


_lock = threading.Lock()
_idle: Session | None = None


@contextmanager
def session(path: Path) -> Iterator[Session]:
    """A child for a video: the one that read it last, if it is still there, else a new one.

    A child never sees two videos, so that one cannot harm the other. After an exception the child is ended.
    """
    path = path.absolute()
    found = _swap(None)
    if found is not None and not (found.usable and found.identity == _identity(path)):
        found.close()
        found = None
    if found is None:
        found = Session(path, LIMITS)
    try:
        yield found
    except BaseException:
        found.close()
        raise
    found.rest()
    unused = _swap(found)
    if unused is not None:
        unused.close()


def _swap(session: Session | None) -> Session | None:
    global _idle
    with _lock:
        _idle, previous = session, _idle
    return previous


def _identity(path: Path) -> Sequence[object]:
    """What tells whether it is still the same file."""
    try:
        facts = path.stat()
    except OSError:
        return (path, None)
    return (path, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


@atexit.register
def forget() -> None:
    """End the child that waits for another question, if there is one."""
    left = _swap(None)
    if left is not None:
        left.close()
