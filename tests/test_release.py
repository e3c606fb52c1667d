"""The wheel and the source distribution: the same bytes from the same commit, and nothing that should not be there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def git(*arguments: str, cwd: Path = ROOT) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def build(work: Path, umask: int) -> dict[str, bytes]:
    """Build HEAD from a clone of its own in `work`, under a umask."""
    before = os.umask(umask)
    try:
        work.mkdir(parents=True)
        git("clone", "--quiet", "--no-hardlinks", str(ROOT), str(work / "clone"))
        git("checkout", "--quiet", git("rev-parse", "HEAD").strip(), cwd=work / "clone")
        script = work / "clone" / ".ci" / "build_release.py"
        subprocess.run([sys.executable, str(script), str(work / "out")], check=True, stdout=subprocess.DEVNULL)
    finally:
        os.umask(before)
    return {path.name: path.read_bytes() for path in sorted((work / "out").iterdir())}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository: this is an unpacked source distribution")
    work = tmp_path_factory.mktemp("release") / "first"
    build(work, 0o022)
    return work / "out"


def test_another_folder_time_and_umask_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "another folder" / "deeper", 0o077)
    assert sorted(path.suffix for path in built.iterdir()) == [".gz", ".whl"]
    assert again == {path.name: path.read_bytes() for path in sorted(built.iterdir())}


def test_the_wheel_holds_the_package_with_its_data_and_no_tests(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        modes = {entry.external_attr >> 16 & 0o777 for entry in wheel.infolist()}
    assert modes <= {0o644, 0o664}
    outside = {name for name in names if ".dist-info/" in name or ".data/" in name}
    assert [name for name in outside if name.endswith(".data/data/share/man/man1/ncipher.1")]
    assert len([name for name in outside if ".data/" in name]) == 1
    inside = set(names) - outside
    assert inside == set(git("ls-tree", "-r", "--name-only", "HEAD", "neuralcipher").splitlines())
    assert {"neuralcipher/py.typed", "neuralcipher/data/bunny.mp4", "neuralcipher/data/latent_network.bin"} <= inside
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_distribution_holds_what_building_and_testing_take(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        entries = archive.getmembers()
    names = {entry.name.partition("/")[2] for entry in entries if entry.isfile()}
    kept = set(git("ls-tree", "-r", "--name-only", "HEAD").splitlines())
    assert [name for name in kept - names if not name.startswith(".git")] == []
    assert all(name in kept or name in {"PKG-INFO", "setup.cfg"} or ".egg-info/" in name for name in names)
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, "", "")}
    assert len({entry.mtime for entry in entries}) == 1
