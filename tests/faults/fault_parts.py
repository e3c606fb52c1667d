"""Faults in real processes: the shim, the process that forks commands, the commands, and what may be left after one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

import neuralcipher

HERE = Path(__file__).parent
CREATE, WRITE, SYNC, NAME, REMOVE, MODE, READ = 1, 2, 4, 8, 16, 32, 64
CHANGES = CREATE | WRITE | SYNC | NAME | REMOVE | MODE
OFF, COUNT, FAIL, FULL, SIGNAL, DELAY = range(6)
SEAL = ("--max-frames", "2", "--scale", "32x-1", "--budget", "0.1", "--generator", "chacha20", "-q")

Files = dict[str, bytes]


def build_shim(folder: Path) -> Path:
    """Compile the shim. Raises FileNotFoundError without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        raise FileNotFoundError("faults at single file operations need Linux and a C compiler")
    shim = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(shim), str(HERE / "shim.c"), "-ldl", "-pthread"]
    subprocess.run(command, check=True)
    return shim


@dataclass(frozen=True)
class Done:
    """What became of a command. seen: file operations of the chosen classes; met: whether the fault was met.

    took_us: microseconds from the first of these operations to the last.
    """

    code: int
    seen: int
    met: bool
    took_us: int
    stdout: str
    stderr: str


class Nursery:
    """Runs commands in children of a process that has imported everything."""

    def __init__(self, shim: Path, scratch: Path) -> None:
        self._scratch = scratch
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NCIPHER_")}
        environment |= {
            "LD_PRELOAD": str(shim),
            "OMP_WAIT_POLICY": "PASSIVE",
            "OPENBLAS_NUM_THREADS": "1",  # its threads would not survive a fork
            "PYTHONPATH": str(Path(neuralcipher.__file__).parents[1]),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py"), str(shim)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._read() != "ready\n":
            raise RuntimeError("the nursery did not start")

    def close(self) -> None:
        self._process.communicate()

    def start(self, folder: Path, *arguments: str, **fault: Any) -> int:
        """Fork a command; returns its process id."""
        job = {"folder": str(folder), "arguments": arguments, **fault}
        number = len(list(self._scratch.iterdir())) // 2
        job |= {name: str(self._scratch / f"{number}.{name}") for name in ("stdout", "stderr")}
        for name in ("stdout", "stderr"):
            Path(job[name]).touch()
        pid: int = self._ask({"start": job})["pid"]
        self._outputs = {**getattr(self, "_outputs", {}), pid: (job["stdout"], job["stderr"])}
        return pid

    def wait(self, pid: int) -> Done | None:
        """Wait until it ends, or stops (None)."""
        answer = self._ask({"wait": pid})
        if "stopped" in answer:
            return None
        texts = [Path(path).read_text(errors="replace") for path in self._outputs.pop(pid)]
        return Done(**answer, stdout=texts[0], stderr=texts[1])

    def run(self, folder: Path, *arguments: str, **fault: Any) -> Done:
        done = self.wait(self.start(folder, *arguments, **fault))
        if done is None:
            raise RuntimeError("the command stopped")
        return done

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise RuntimeError("the nursery has no input")
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._read())
        return answer

    def _read(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("the nursery has no output")
        return self._process.stdout.readline()


@dataclass(frozen=True)
class Command:
    """A command that writes `target`, in a folder with a video, keys and a bundle.

    old: whether the target is there before. whole: whether a target, as read, is complete and right.
    """

    name: str
    arguments: tuple[str, ...]
    target: str
    old: bool
    whole: Callable[[Path, Files], bool]
    prepare: Callable[[Path], None] = field(default=lambda folder: None)


def is_bundle(folder: Path, reference: Files) -> bool:
    """The bundle opens with the key, every chunk verifies, and it has the sections that the reference has."""
    from neuralcipher.container import BundleReader
    from neuralcipher.keys import Key

    with BundleReader.open(folder) as reader:
        reader.unlock([Key.read(folder.parent / "k.bin")])
        return reader.verify() == [] and len(reader.sections) >= 3


def is_key(path: Path, reference: Files) -> bool:
    return path.stat().st_size == 32 and path.stat().st_mode & 0o777 == 0o600


def is_video(path: Path, reference: Files) -> bool:
    """The packets of an undisturbed run; Matroska has random numbers elsewhere."""
    return packets(path.read_bytes()) == packets(reference[path.name])


def packets(data: bytes) -> list[tuple[int, int | None, bytes]]:
    with av.open(io.BytesIO(data)) as container:
        return [(packet.stream_index, packet.pts, bytes(packet)) for packet in container.demux()]


def is_reference(path: Path, reference: Files) -> bool:
    """Opening is deterministic: the very bytes of an undisturbed run."""
    return tree(path) == {name: data for name, data in reference.items() if name.split("/")[0] == path.name}


def tree(path: Path, base: Path | None = None) -> Files:
    """Everything at and below a path, hidden files too; folders end with a slash."""
    base = base or path.parent
    if path.is_dir():
        found: Files = {f"{path.relative_to(base)}/": b""}
        for entry in sorted(path.iterdir()):
            found |= tree(entry, base)
        return found
    return {str(path.relative_to(base)): path.read_bytes()} if path.exists() else {}


def listing(folder: Path) -> Files:
    return {name: data for entry in folder.iterdir() for name, data in tree(entry).items()}


def _old_file(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_bytes(b"old" * 5000)

    return make


def _old_pictures(folder: Path) -> None:
    (folder / "p").mkdir()
    for number in range(3):
        (folder / "p" / f"old_{number}.png").write_bytes(b"old" * 100)


KEYS = ("-k", "k.bin")
KEPT = ("-o", "n.ncv", *SEAL, "--checkpoint-every", "0.000001")
OPEN = ("open", "video.ncv", *KEYS, "-q", "-o")
COMMANDS = {
    command.name: command
    for command in (
        Command("keygen", ("keygen", "n.bin"), "n.bin", False, is_key),
        Command("keygen-force", ("keygen", "n.bin", "-f"), "n.bin", True, is_key, _old_file("n.bin")),
        Command("rekey", ("rekey", "video.ncv", *KEYS, "--add-key", "other.bin"), "video.ncv", True, is_bundle),
        Command("rotate", ("rekey", "video.ncv", *KEYS, "--rotate"), "video.ncv", True, is_bundle),
        Command("seal", ("seal", "video.mp4", *KEYS, "-o", "n.ncv", *SEAL), "n.ncv", False, is_bundle),
        Command("seal-force", ("seal", "video.mp4", *KEYS, *SEAL, "-f"), "video.ncv", True, is_bundle),
        Command("seal-kept", ("seal", "video.mp4", *KEYS, *KEPT), "n.ncv", False, is_bundle),
        Command("cut", ("cut", "video.ncv", *KEYS, "--segments", "0", "-o", "n.ncv"), "n.ncv", False, is_bundle),
        Command("sound", ("extract-audio", "video.ncv", *KEYS, "-o", "n.m4a"), "n.m4a", False, is_reference),
        Command("mp4", (*OPEN, "n.mp4"), "n.mp4", False, is_reference),
        Command("mp4-force", (*OPEN, "n.mp4", "-f"), "n.mp4", True, is_reference, _old_file("n.mp4")),
        Command("mkv", (*OPEN, "n.mkv"), "n.mkv", False, is_video),
        Command("y4m", (*OPEN, "n.y4m"), "n.y4m", False, is_reference),
        Command("png", (*OPEN, "p/"), "p", False, is_reference),
        Command("png-force", (*OPEN, "p/", "-f"), "p", True, is_reference, _old_pictures),
    )
}

# The last has ten times the file operations of the others: run.py goes through them all.
EVERY = tuple(name for name in COMMANDS if name != "seal-kept")


@dataclass
class Ground:
    """Folders to work in: copies of one with a video, two keys and a bundle of two frames."""

    nursery: Nursery
    template: Path
    scratch: Path
    references: dict[str, Files] = field(default_factory=dict)
    counts: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def make(cls, nursery: Nursery, scratch: Path) -> Ground:
        template = scratch / "template"
        template.mkdir()
        shutil.copy(neuralcipher.demo_clip(), template / "video.mp4")
        for arguments in (("keygen", "k.bin"), ("keygen", "other.bin"), ("seal", "video.mp4", *KEYS, *SEAL)):
            done = nursery.run(template, *arguments)
            if done.code:
                raise RuntimeError(done.stderr)
        return cls(nursery, template, scratch)

    @contextlib.contextmanager
    def folder(self, command: Command) -> Iterator[Path]:
        """A fresh copy with what the command finds there, gone afterwards."""
        folder = self.scratch / "work"
        shutil.copytree(self.template, folder)
        try:
            command.prepare(folder)
            yield folder
        finally:
            shutil.rmtree(folder)

    def undisturbed(self, command: Command, classes: int = CHANGES) -> tuple[Files, int]:
        """What the command leaves, and how many operations of these classes it makes, when nothing goes wrong."""
        if (command.name, classes) not in self.counts:
            with self.folder(command) as folder:
                done = self.nursery.run(folder, *command.arguments, mode=COUNT, classes=classes)
                if done.code:
                    raise RuntimeError(done.stderr)
                self.references.setdefault(command.name, listing(folder))
                self.counts[command.name, classes] = done.seen
        return self.references[command.name], self.counts[command.name, classes]


def leftovers(command: Command, before: Files, after: Files) -> list[str]:
    """Names that were not there before, apart from the target and what lies below another new folder."""
    new = {name.split("/")[0] for name in after} - {name.split("/")[0] for name in before} - {command.target}
    return sorted(new)


def is_temporary(command: Command, name: str) -> bool:
    """Whether a name is one that docs promise: .NAME.<12 hex digits>.part, or a checkpoint of `seal`."""
    stem = re.escape(command.target)
    suffix = re.escape(Path(command.target).suffix)
    pattern = rf"\.{stem}\.[0-9a-f]{{12}}\.(part|old)({suffix})?"
    return re.fullmatch(pattern, name) is not None or is_checkpoint(command, name)


def is_checkpoint(command: Command, name: str) -> bool:
    """Of `seal` alone: the folder beside the output that a later run goes on from."""
    return command.arguments[0] == "seal" and name == f"{command.target}.checkpoint"


def judge(command: Command, folder: Path, before: Files, reference: Files) -> str:
    """Look at what a fault left: "old" or "new". Raises AssertionError if it is neither, or something else changed."""
    after = listing(folder)
    top = {name: data for name, data in after.items() if name.split("/")[0] != command.target}
    for name, data in before.items():
        if name.split("/")[0] != command.target:
            assert top.get(name) == data, f"{name} was changed"
    strange = [name for name in leftovers(command, before, after) if not is_temporary(command, name)]
    assert not strange, f"nobody would know what {strange} is"
    mine = {name: data for name, data in after.items() if name.split("/")[0] == command.target}
    if mine == {name: data for name, data in before.items() if name.split("/")[0] == command.target}:
        return "old"
    assert mine, f"{command.target} is gone"
    assert command.whole(folder / command.target, reference), f"{command.target} is neither the old one nor complete"
    return "new"


def disturbed(ground: Ground, command: Command, **fault: Any) -> tuple[Done, str, list[str]]:
    """Run a command with a fault and judge what it left: what became of it, "old" or "new", what else lies there."""
    reference, _ = ground.undisturbed(command)
    with ground.folder(command) as folder:
        before = listing(folder)
        done = ground.nursery.run(folder, *command.arguments, **fault)
        state = judge(command, folder, before, reference)
        return done, state, leftovers(command, before, listing(folder))


SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGHUP": signal.SIGHUP}
