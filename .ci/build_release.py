"""Build the wheel and the source distribution of a commit, the same bytes wherever and whenever it is done.

    python .ci/build_release.py FOLDER [COMMIT]

setuptools takes times from SOURCE_DATE_EPOCH, but permissions from the umask and the checkout, and its source
distribution carries the builder's name and clock. So the build starts from `git archive`, under a fixed umask and with
the commit's own time, and the source distribution is packed again without what is the builder's. The wheel is built
from that, as an installer would. Needs git, and setuptools >= 77 in this environment: another version may write other
bytes.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def hook(source: Path, name: str, out: Path) -> Path:
    """Call a hook of the build backend in a process of its own; returns the file it made."""
    call = f"import sys; from setuptools import build_meta; print(build_meta.{name}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", call, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return out / done.stdout.splitlines()[-1]


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack a tar archive of our own making."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        if hasattr(tarfile, "data_filter"):  # Python 3.10.12, 3.11.4 and newer
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(folder)  # noqa: S202  (of our own making)


def normalised(path: Path, epoch: int) -> bytes:
    """The source distribution with every entry in order, of this time, nobody's, and readable by all."""
    packed = io.BytesIO()
    with (
        tarfile.open(path) as old,
        gzip.GzipFile("", "wb", fileobj=packed, mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for entry in sorted(old.getmembers(), key=lambda member: member.name):
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = epoch, 0, 0, "", ""
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            entry.pax_headers = {}
            new.addfile(entry, old.extractfile(entry) if entry.isfile() else None)
    return packed.getvalue()


def main() -> None:
    out, commit = Path(sys.argv[1]).resolve(), [*sys.argv[2:], "HEAD"][0]
    out.mkdir(parents=True, exist_ok=True)
    git = ["git", "-C", str(ROOT), "-c", "tar.umask=0022"]
    epoch = subprocess.run([*git, "log", "-1", "--format=%ct", commit], capture_output=True, check=True).stdout
    os.environ["SOURCE_DATE_EPOCH"] = epoch.decode().strip()
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as scratch:
        tree, again = Path(scratch, "tree"), Path(scratch, "again")
        unpack(subprocess.run([*git, "archive", commit], capture_output=True, check=True).stdout, tree)
        made = hook(tree, "build_sdist", Path(scratch))
        source = out / made.name
        source.write_bytes(normalised(made, int(epoch)))
        unpack(gzip.decompress(source.read_bytes()), again)
        wheel = hook(next(again.iterdir()), "build_wheel", out)
    print(f"{source}\n{wheel}")


if __name__ == "__main__":
    main()
