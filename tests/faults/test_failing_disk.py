"""A disk that is full or fails at each operation in turn, also under libavformat: one sentence, nothing half done."""

from __future__ import annotations

import errno
import re

import pytest
from fault_parts import (
    COMMANDS,
    COUNT,
    CREATE,
    EVERY,
    FAIL,
    FULL,
    MODE,
    NAME,
    READ,
    REMOVE,
    SYNC,
    WRITE,
    Ground,
    disturbed,
)

SENTENCE = re.compile(r"ncipher: error: [^\n]+\n  hint: [^\n]+\n")


def says_one_sentence(stderr: str) -> bool:
    return SENTENCE.fullmatch(stderr) is not None and "Errno" not in stderr


@pytest.mark.parametrize("name", EVERY)
def test_a_full_disk_at_every_write(ground: Ground, name: str) -> None:
    """The n-th write is cut short and nothing can be written from then on."""
    command, classes = COMMANDS[name], CREATE | WRITE
    _, count = ground.undisturbed(command, classes)
    for at in range(1, count + 1):
        done, state, left = disturbed(ground, command, mode=FULL, number=errno.ENOSPC, classes=classes, at=at)
        assert done.met
        assert (done.code, state, left) == (1, "old", [])
        assert says_one_sentence(done.stderr)
        assert "the disk is full" in done.stderr


@pytest.mark.parametrize("name", EVERY)
def test_an_error_at_every_operation(ground: Ground, name: str) -> None:
    """EIO, once, at the n-th write, fsync, chmod, rename or link."""
    command, classes = COMMANDS[name], WRITE | SYNC | NAME | MODE
    _, count = ground.undisturbed(command, classes)
    for at in range(1, count + 1):
        done, state, left = disturbed(ground, command, mode=FAIL, number=errno.EIO, classes=classes, at=at)
        assert done.met
        assert (done.code, left) == (1, [])
        assert says_one_sentence(done.stderr)
        assert "input/output error" in done.stderr
        # Only the last, the fsync of the folder, comes after the new file has its name, and the message says so.
        assert state == ("new" if at == count else "old")
        assert ("is written, but might be lost in a power cut" in done.stderr) == (at == count)


@pytest.mark.parametrize("name", ["seal", "mp4", "png-force"])
def test_a_temporary_file_that_cannot_be_removed(ground: Ground, name: str) -> None:
    """The output is complete all the same, and what stays is told by its name."""
    command = COMMANDS[name]
    _, count = ground.undisturbed(command, REMOVE)
    for at in range(1, count + 1):
        done, state, _ = disturbed(ground, command, mode=FAIL, number=errno.EACCES, classes=REMOVE, at=at)
        assert (done.met, done.code, state) == (True, 0, "new")


@pytest.mark.parametrize("name", ["rekey", "rotate", "mp4", "seal"])
def test_an_input_that_cannot_be_read(ground: Ground, name: str) -> None:
    """EIO at every read of the video, the key or the bundle."""
    command = COMMANDS[name]
    _, count = ground.undisturbed(command, READ)
    for at in range(1, count + 1):
        done, state, left = disturbed(ground, command, mode=FAIL, number=errno.EIO, classes=READ, at=at)
        assert done.met
        assert "Traceback" not in done.stderr
        assert left == []
        if done.code == 0:  # FFmpeg reads on, as it does in a damaged video
            assert (name, state) == ("seal", "new")
        else:
            assert done.code in (1, 2, 4)
            assert state == "old"
            assert done.stderr.startswith("ncipher: error: ")


def test_the_shim_sees_what_libavformat_does(ground: Ground) -> None:
    """The count of an MP4 has the writes that no Python code makes; without them the tests above would prove little."""
    command = COMMANDS["mp4"]
    log = ground.scratch / "log"
    with ground.folder(command) as folder:
        ground.nursery.run(folder, *command.arguments, mode=COUNT, classes=CREATE | WRITE, log=str(log))
    written = [line for line in log.read_text().splitlines() if line.startswith("write .n.mp4.")]
    assert len(written) >= 3


def test_data_reach_the_disk_before_the_name_and_the_name_before_the_end(ground: Ground) -> None:
    """What a power cut may leave depends on the order: fsync of the file, rename or link, fsync of the folder."""
    log = ground.scratch / "log"
    for name in ("keygen", "rekey", "seal-force", "mp4", "mkv", "y4m"):
        command = COMMANDS[name]
        with ground.folder(command) as folder:
            classes = CREATE | WRITE | SYNC | NAME
            ground.nursery.run(folder, *command.arguments, mode=COUNT, classes=classes, log=str(log))
        temporary = rf"\.{re.escape(command.target)}\.\w+\.part[.\w]*"
        lines = [line for line in log.read_text().splitlines() if "checkpoint" not in line]
        assert re.fullmatch(
            rf"(create {temporary}\n)+(write {temporary}\n)+fsync {temporary}\n"
            rf"(rename|link) {re.escape(command.target)}\nfsync \.",
            "\n".join(lines),
        ), name
