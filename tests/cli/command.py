"""Run the installed command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NCIPHER = str(Path(sys.executable).with_name("ncipher"))
SMALL = ["--max-frames", "6", "--scale", "96x-1", "--budget", "0.5"]
FAST = [*SMALL, "--generator", "chacha20"]


def run(*arguments: str, cwd: Path, code: int | None = 0, **more) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NCIPHER_")} | more.pop("env", {})
    done = subprocess.run(
        [NCIPHER, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        **more,
    )
    assert code is None or done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def fails(work: Path, code: int, sentence: str, *arguments: str, **more) -> None:
    """The command ends with this code and sentence, and leaves the folder as it was."""
    before = contents(work)
    done = run(*arguments, cwd=work, code=code, **more)
    assert sentence in done.stderr
    assert contents(work) == before


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, hidden files too; folders end with a slash."""
    return {f"{p.name}/" if p.is_dir() else p.name: b"" if p.is_dir() else p.read_bytes() for p in folder.iterdir()}
