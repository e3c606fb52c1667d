"""Install the wheel of HEAD into a root that has nothing else in it, and use it there.

    python tools/clean_root.py [--root FOLDER] [--keep FOLDER]

Needs git, bubblewrap (`bwrap`) and, for the wheels, what pip is configured for. The root is the /usr of this machine or
FOLDER, say one that debootstrap or `docker export` made; it needs Python with venv. In it there is no repository, no
network, no /etc, /root or /usr/local of this machine, an empty home, a bare environment, and a user without rights.
--keep leaves the wheels and the installation in a new folder, for a second look.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
APP, WHEELS, HOME = "/opt/app", "/opt/wheels", "/home/user"

STEPS = f"""
python3 -m venv {APP}
{APP}/bin/python -m pip install --no-index --find-links {WHEELS} --disable-pip-version-check --quiet neuralcipher
{APP}/bin/python -m pip check
test ! -e "{SOURCE}"
{APP}/bin/python -c "import neuralcipher; assert neuralcipher.__file__.startswith('{APP}/'), neuralcipher.__file__"
test -s {APP}/share/man/man1/ncipher.1
ncipher --version
ncipher --help > help.txt
ncipher keygen k.bin
cp {APP}/lib/python3*/site-packages/neuralcipher/data/bunny.mp4 video.mp4
ncipher seal video.mp4 --key k.bin --budget 1 --max-frames 8 --scale 96x-1 --quiet
ncipher verify video.ncv --key k.bin
ncipher open video.ncv --key k.bin -o opened.mp4 --quiet
ncipher keygen other.bin
ncipher open video.ncv --key other.bin -o wrong.mp4 || test $? = 5
test ! -e wrong.mp4
ncipher demo --budget 5 --quiet
"""


def bwrap(root: Path | None, place: Path, command: str) -> list[str]:
    """The command line that runs `command` in the root; {APP} and {HOME} are kept in `place`."""
    if root is None:
        shape = ["--ro-bind", "/usr", "/usr", "--tmpfs", "/usr/local"]
        for name in ("bin", "lib", "lib64", "sbin"):
            if Path("/", name).is_symlink():
                shape += ["--symlink", f"usr/{name}", f"/{name}"]
            elif Path("/", name).is_dir():
                shape += ["--ro-bind", f"/{name}", f"/{name}"]
    else:
        shape = [word for name in sorted(os.listdir(root)) for word in binding(root / name)]
    shape += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", str(place / "app"), APP]  # noqa: S108
    shape += ["--ro-bind", str(place / "wheels"), WHEELS, "--bind", str(place / "home"), HOME, "--chdir", HOME]
    alone = ["--unshare-all", "--uid", "1000", "--gid", "1000", "--die-with-parent", "--new-session", "--clearenv"]
    bare = ["--setenv", "HOME", HOME, "--setenv", "PATH", f"{APP}/bin:/usr/local/bin:/usr/bin:/bin"]
    return ["bwrap", *shape, *alone, *bare, "--", "/bin/sh", "-euc", command]


def binding(path: Path) -> list[str]:
    """How one entry of a given root gets into the new one; what is mounted there anew is left out."""
    if path.name in ("proc", "dev", "tmp", "home", "opt", "sys", "run"):
        return []
    if path.is_symlink():
        return ["--symlink", os.readlink(path), f"/{path.name}"]
    return ["--ro-bind", str(path), f"/{path.name}"]


def fetch(wheel: Path, version: str, wheels: Path) -> None:
    """Bring the wheel, and what it needs for a Python `version`, into `wheels`."""
    target = ["--only-binary", ":all:", "--python-version", version, "--dest", str(wheels)]
    pins = ["-c", str(SOURCE / "constraints.txt")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *target, *pins, str(wheel)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    if shutil.which("bwrap") is None:
        sys.exit("bwrap is not installed: the package is called bubblewrap")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) if chosen.keep is None else chosen.keep.resolve()
        if chosen.keep is not None and place.exists():
            sys.exit(f"{place} is there already")
        for name in ("wheels", "app", "home", "release"):
            (place / name).mkdir(parents=True)
        script = [sys.executable, str(SOURCE / ".ci" / "build_release.py"), str(place / "release")]
        subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = (place / "release").glob("*.whl")
        ask = "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"
        asked = subprocess.run(bwrap(chosen.root, place, ask), check=True, capture_output=True, text=True)
        fetch(wheel, asked.stdout.strip(), place / "wheels")
        for step in STEPS.strip().splitlines():
            print(f"$ {step}", flush=True)
            done = subprocess.run(bwrap(chosen.root, place, step), stdin=subprocess.DEVNULL, check=False)
            if done.returncode:
                sys.exit(f"exit status {done.returncode}")
        size = sum(path.lstat().st_size for path in (place / "app").rglob("*"))
    print(f"Python {asked.stdout.strip()}, {size / 1e6:.0f} MB installed: every step passed")


if __name__ == "__main__":
    main()
