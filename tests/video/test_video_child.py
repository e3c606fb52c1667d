"""The process that decodes: what it may do, and what its parent makes of its end."""

from __future__ import annotations

import ast
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from video_children import alone, instead
from video_clips import BUNNY, encode

from neuralcipher.errors import NeuralCipherError, VideoError
from neuralcipher.video import session
from neuralcipher.video.limits import Limits
from neuralcipher.video.reading import probe, read_audio, read_frames

__all__ = ["alone"]
PROBED = probe(BUNNY)
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of the system differ")


def inside(monkeypatch: pytest.MonkeyPatch, expression: str) -> str:
    """What an expression is worth inside a real child, once it is confined."""
    root, *path = session.command()[session.command().index("-c") + 2 :]
    boot = (
        "import sys; sys.path[:] = sys.argv[1:]\n"
        "import os, resource, socket\n"
        "import neuralcipher.video.child as child\n"
        "from neuralcipher.errors import VideoError\n"
        "def attempt(work):\n"
        "    try:\n        work()\n"
        "    except Exception as error:\n        return type(error).__name__\n"
        "    return 'done'\n"
        f"def answer(*_):\n    raise VideoError(repr({expression}))\n"
        "child._ANSWERS['probe'] = answer\n"
        "child.main()\n"
    )
    monkeypatch.setattr(session, "command", lambda: [sys.executable, "-I", "-S", "-c", boot, root, *path])
    with pytest.raises(VideoError) as raised:
        probe(BUNNY)
    return raised.value.message


def test_the_child_loads_neither_torch_nor_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inside(monkeypatch, "[name in sys.modules for name in ('torch', 'numpy', 'cryptography')]") == str(
        [False] * 3
    )


def test_no_secret_is_in_the_childs_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCIPHER_PASSPHRASE", "correct horse")
    monkeypatch.setenv("NCIPHER_KEY", "/k.bin")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    names = ast.literal_eval(inside(monkeypatch, "sorted(os.environ)"))
    assert set(names) <= {*session._KEPT_VARIABLES, *session._ADDED_VARIABLES, "LC_CTYPE"}
    assert "PATH" in names or "PATH" not in os.environ


@linux
def test_the_child_can_open_nothing_and_write_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target = tmp_path / "written"
    attempts = (
        f"[attempt(lambda: open({str(BUNNY)!r})), attempt(lambda: open({str(target)!r}, 'w')), "
        "attempt(socket.socket), attempt(os.pipe), attempt(lambda: os.dup(0))]"
    )
    assert inside(monkeypatch, attempts) == str(["OSError"] * 5)
    assert not target.exists()


@linux
def test_the_limits_hold_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("CORE", "FSIZE", "NOFILE", "DATA", "AS")
    found = inside(monkeypatch, f"[resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) for n in {names}]")
    memory = Limits().memory_bytes
    assert found == str([(0, 0)] * 3 + [(memory, memory)] + [(memory + (2 << 30),) * 2])
    monkeypatch.undo()
    privileges = "[line for line in open('/proc/self/status') if line.startswith('NoNewPrivs')]"
    code = "from neuralcipher.video.limits import *; confine(Limits(), folder=True); print({})"
    ran = subprocess.run([sys.executable, "-c", code.format(privileges)], capture_output=True, text=True, check=True)
    assert "1" in ran.stdout


@linux
def test_computing_without_getting_on_is_ended_by_the_system() -> None:
    code = "from neuralcipher.video.limits import *\nallow_cpu(Limits(stall_s=0))\nwhile True: pass"
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=600)
    assert ran.returncode == -signal.SIGXCPU


@linux
def test_a_picture_that_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(memory_bytes=128 << 20))
    Image.new("RGB", (8000, 8000)).save(tmp_path / "1.png", compress_level=1)
    with pytest.raises(VideoError, match=r"takes more than 0.125 GiB of memory") as raised:
        probe(tmp_path)
    assert raised.value.hint == "shrink it first"
    assert raised.value.exit_code == 4
    Image.new("RGB", (80, 80)).save(tmp_path / "1.png")
    assert probe(tmp_path).info.width == 80


ENDS = {
    "SIGSEGV": (VideoError, "FFmpeg crashed while it decoded bunny.mp4"),
    "SIGABRT": (VideoError, "FFmpeg crashed while it decoded bunny.mp4"),
    "SIGXCPU": (VideoError, "decoding bunny.mp4 got nowhere for 60 s"),
    "SIGKILL": (VideoError, "the system ended the decoding of bunny.mp4"),
}


@pytest.mark.parametrize("name", ENDS)
def test_every_end_of_the_child_is_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    instead(monkeypatch, f"os.kill(os.getpid(), signal.{name})")
    kind, sentence = ENDS[name]
    for ask in (probe, read_audio):
        with pytest.raises(kind) as raised:
            ask(BUNNY)
        assert raised.value.message.startswith(sentence)
        assert raised.value.hint
        assert raised.value.exit_code == 4


def test_a_child_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "sys.exit(7)")
    with pytest.raises(NeuralCipherError, match=r"the process that decodes bunny.mp4 ended with exit code 7"):
        probe(BUNNY)
    monkeypatch.setattr(session, "command", lambda: ["/nonexistent/python"])
    with pytest.raises(NeuralCipherError, match=r"no process can be started to decode bunny.mp4"):
        probe(BUNNY)


def test_a_child_that_stops_in_the_middle_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "os.write(1, bytes([0, 0, 0, 100, 1]))")
    with pytest.raises(VideoError, match=r"the decoder of bunny.mp4 sent what is no answer"):
        probe(BUNNY)


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(stall_s=1))
    started: list[session.Session] = []
    make = session.Session.__init__

    def note(self: session.Session, *arguments: Any) -> None:
        make(self, *arguments)
        started.append(self)

    monkeypatch.setattr(session.Session, "__init__", note)
    instead(monkeypatch, "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    with pytest.raises(VideoError, match=r"decoding bunny.mp4 got nowhere for 1 s"):
        probe(BUNNY)
    assert started[0]._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "name",
    [
        "-i.mp4",
        "a b\tc\n.mp4",
        "%d.mp4",
        "http:x.mp4",
        "ümläut 😀.mp4",
        "'\"$(x).mp4",
        "concat:a|b.mp4",
        b"\xff\xfe.mp4",
    ],
)
def test_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | bytes) -> None:
    path = os.fsdecode(name)
    monkeypatch.chdir(tmp_path)
    try:
        encode(tmp_path / "a.mp4", frames=2).rename(tmp_path / path)
    except OSError:
        pytest.skip("the file system has no such names")
    probed = probe(path)
    assert len(list(read_frames(path, probed))) == 2


def test_dots_after_a_link_lead_where_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    encode(tmp_path / "far" / "a.mp4", frames=3)
    encode(tmp_path / "a.mp4", frames=2)
    monkeypatch.chdir(tmp_path)
    assert probe("link/../a.mp4").info.frames == 3


def test_one_child_answers_for_one_video(tmp_path: Path) -> None:
    other = encode(tmp_path / "b.mp4", frames=2)

    def child() -> int | None:
        return session._idle and session._idle._process.pid

    probed = probe(BUNNY)
    first = child()
    list(read_frames(BUNNY, probed))
    read_audio(BUNNY)
    assert child() == first is not None
    probe(other)
    assert child() != first
    second = child()
    encode(other, frames=3)
    assert probe(other).info.frames == 3
    assert child() != second


def children() -> set[str]:
    return {child for task in Path("/proc/self/task").glob("*/children") for child in task.read_text().split()}


def test_reading_that_is_given_up_ends_its_child() -> None:
    session.forget()
    others = children()  # of multiprocessing, if earlier tests used it
    frames = read_frames(BUNNY, PROBED)
    next(frames)
    assert session._idle is None
    assert children() - others or not Path("/proc/self/task").exists()
    frames.close()
    assert not children() - others


def test_frames_that_wait_take_no_memory(tmp_path: Path) -> None:
    clip = encode(tmp_path / "long.mp4", frames=300, size=(320, 180), options={"preset": "ultrafast"})
    probed = probe(clip)
    frames = read_frames(clip, probed)
    first = next(frames)
    # All the child may have beyond the first picture is the second, in part in the pipe.
    assert (first == next(read_frames(clip, probed))).all()
    assert len(list(frames)) == 299


def parent(body: str, **options: Any) -> subprocess.Popen[str]:
    """A process that reads frames, and prints its child's number."""
    code = (
        "import sys\nfrom neuralcipher.video import session\n"
        "from neuralcipher.video.reading import probe, read_frames\n"
        "if __name__ == '__main__':\n"
        " probed = probe(sys.argv[1])\n"
        " print(session._idle._process.pid, flush=True)\n" + body
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(BUNNY)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def gone(pid: int, within_s: float) -> bool:
    """Whether a process that is not ours ends in that time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_s)[0])
    finally:
        os.close(descriptor)


def dies_with(process: subprocess.Popen[str]) -> None:
    """Kill a process once it has said its child's number and that the child is busy."""
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert process.stdout.readline() == "busy\n"
    assert not gone(pid, 0)
    process.kill()
    process.communicate()
    assert gone(pid, 300)


@linux
def test_the_child_dies_with_its_parent() -> None:
    process = parent(
        " frames = read_frames(sys.argv[1], probed)\n next(frames)\n print('busy', flush=True)\n input()\n"
    )
    dies_with(process)


@linux
def test_a_child_that_writes_nothing_dies_with_its_parent_too() -> None:
    boot = (
        "import sys; sys.path[:] = sys.argv[1:]; import time, neuralcipher.video.child as child; "
        "child._ANSWERS['audio'] = lambda *_: time.sleep(600); child.main()"
    )
    body = (
        " session.forget()\n command = session.command()\n"
        f" command[command.index('-c') + 1] = {boot!r}\n"
        " session.command = lambda: command\n probe(sys.argv[1])\n"
        " child = session._swap(None)\n print(child._process.pid, flush=True)\n"
        " child.ask('audio', None)\n print('busy', flush=True)\n child.hear('packets')\n"
    )
    process = parent(body)
    assert process.stdout is not None
    process.stdout.readline()
    dies_with(process)


@linux
def test_interrupting_the_group_prints_nothing_of_the_child() -> None:
    body = (
        " try:\n"
        "  for _ in read_frames(sys.argv[1], probed): print('reads', flush=True); sys.stdin.read()\n"
        " except KeyboardInterrupt: print('stopped', flush=True)\n"
    )
    process = parent(body, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert os.getsid(pid) == pid  # no signal of the terminal reaches it
    assert process.stdout.readline() == "reads\n"
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=600)
    assert (printed, errors, process.returncode) == ("stopped\n", "", 0)
    assert gone(pid, 300)


def test_a_child_that_nobody_asks_any_more_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    root, *path = session.command()[session.command().index("-c") + 2 :]
    boot = (
        "import sys; sys.path[:] = sys.argv[1:]\nimport neuralcipher.video.child as child\n"
        "child._IDLE_S = 1.0\nchild.main()\n"
    )
    monkeypatch.setattr(session, "command", lambda: [sys.executable, "-I", "-S", "-c", boot, root, *path])
    probed = probe(BUNNY)
    assert session._idle is not None
    assert session._idle._process.wait(600) == 0
    assert len(list(read_frames(BUNNY, probed))) == 60  # and another one takes its place


def test_a_child_that_may_be_about_to_end_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = probe(BUNNY)
    assert session._idle is not None
    first = session._idle._process.pid
    monkeypatch.setattr(session, "_IDLE_AT_MOST_S", -1.0)
    read_audio(BUNNY, probed.audio_end)
    assert session._idle._process.pid != first
