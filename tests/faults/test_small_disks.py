"""Real file systems: a full one, a read-only one. Mounted in a namespace of their own, where that is allowed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_parts import KEYS, SEAL, Ground

NCIPHER = str(Path(sys.executable).with_name("ncipher"))
UNSHARE = ("unshare", "-rm")


@pytest.fixture(scope="session")
def mounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1) here")
    where = tmp_path_factory.mktemp("mount")
    command = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", str(where)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"mounting is not allowed here: {tried.stderr.strip()}")


def on_a_mount(ground: Ground, options: str, prepare: str, *arguments: str) -> tuple[int, str, list[str]]:
    """Run a command in a tmpfs; returns its exit code, its stderr, and what the folder holds after it."""
    where = ground.scratch / "mount"
    where.mkdir(exist_ok=True)
    script = (
        f'mount -t tmpfs -o {options} tmpfs "$1" && cp "$2"/* "$1" && cd "$1" && {prepare}\n'
        'shift 2; "$@"; code=$?; cd /; ls -A "$OLDPWD"; exit $code'
    )
    command = [*UNSHARE, "sh", "-c", script, "sh", str(where), str(ground.template), NCIPHER, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    return done.returncode, done.stderr, done.stdout.split()


BEFORE = ["k.bin", "other.bin", "video.mp4", "video.ncv"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("seal", "video.mp4", *KEYS, "-o", "n.ncv", *SEAL),
        ("open", "video.ncv", *KEYS, "-q", "-o", "n.mp4"),
        ("rekey", "video.ncv", *KEYS, "--add-key", "other.bin"),
    ],
)
def test_a_full_file_system(mounting: None, ground: Ground, arguments: tuple[str, ...]) -> None:
    """4 KB are free, in 4 KB pages."""
    fill = "dd if=/dev/zero of=fill bs=1k 2>/dev/null; truncate -s -4K fill"
    code, stderr, after = on_a_mount(ground, "size=400k", fill, *arguments)
    assert code == 1, stderr
    assert "could not be written: the disk is full" in stderr
    assert sorted(after) == sorted([*BEFORE, "fill"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("keygen", "n.bin"),
        ("seal", "video.mp4", *KEYS, "-o", "n.ncv", *SEAL),
        ("rekey", "video.ncv", *KEYS, "--add-key", "other.bin"),
    ],
)
def test_a_read_only_file_system(mounting: None, ground: Ground, arguments: tuple[str, ...]) -> None:
    code, stderr, after = on_a_mount(ground, "size=1M", 'mount -o remount,ro "$PWD"', *arguments)
    assert code == 2, stderr
    assert "may not be written to" in stderr
    assert sorted(after) == BEFORE
