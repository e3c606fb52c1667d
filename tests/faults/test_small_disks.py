"""Real file systems: a full one, a read-only one. Mounted in a namespace of their own, where that is allowed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_parts import KEYS, SEAL, Ground

import neuralcipher

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


MIDWAY = """
import json, os, subprocess, sys
import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.errors import WriteError
from neuralcipher.pipeline import fitting

folder, clip = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", folder], check=True)
fit, fitted = fitting.SegmentFitter.fit, []
fitting.SegmentFitter.fit = lambda self, task, *rest: (fitted.append(task.number), fit(self, task, *rest))[1]
options = SealOptions(
    segment_frames=1, max_frames=30, scale="32x-1", flow="mlp", generator="chacha20", flow_options={"steps": 1}
)
output = os.path.join(folder, "v.ncv")
def seal():
    fitted.clear()
    report = neuralcipher.seal(clip, output, keys=[Key(bytes(32))], options=options)
    return report.segments
try:
    seal()
except WriteError as error:
    first = list(fitted)
    said = error.message
kept = len([name for name in os.listdir(output + ".checkpoint") if name.startswith("segment-")])
left = sorted(os.listdir(folder))
subprocess.run(["mount", "-o", "remount,size=64M", folder], check=True)
segments = seal()
print(json.dumps([said, first, kept, left, segments, fitted, sorted(os.listdir(folder))]))
"""


def test_a_disk_that_fills_midway_and_is_freed(mounting: None, tmp_path: Path) -> None:
    """Thirty segments; the disk fills before the last. What was finished is not done again."""
    command = [*UNSHARE, sys.executable, "-c", MIDWAY, str(tmp_path), str(neuralcipher.demo_clip())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stderr
    said, first, kept, left, segments, again, after = json.loads(done.stdout)
    assert "the disk is full" in said
    assert left == ["v.ncv.checkpoint"]
    assert 5 < kept <= len(first) < segments == 30
    assert again == list(range(kept, segments))
    assert after == ["v.ncv"]
