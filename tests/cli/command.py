"""Run the installed command, or the same in a child of a process that has loaded torch already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

NCIPHER = str(Path(sys.executable).with_name("ncipher"))
SMALL = ["--max-frames", "6", "--scale", "96x-1", "--budget", "0.5"]
FAST = [*SMALL, "--generator", "chacha20"]


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("NCIPHER_")}


def run(*arguments: str, cwd: Path, code: int | None = 0, **more) -> subprocess.CompletedProcess[str]:
    environment = clean_environment() | more.pop("env", {})
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
    return judged(done, code)


def judged(done: subprocess.CompletedProcess[str], code: int | None) -> subprocess.CompletedProcess[str]:
    assert code is None or done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@cache
def warm() -> subprocess.Popen[str]:
    """The process of warm.py; it ends when its input does, that is, with this one."""
    program = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    environment = clean_environment() | {"OPENBLAS_NUM_THREADS": "1"}  # its threads would not survive a fork
    return subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def forked(*arguments: str, cwd: Path, code: int | None = 0, env: dict[str, str] | None = None):
    """`run`, without the seconds that loading torch takes: for what starts no workers and is not about starting."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        for output in outputs:
            output.touch()
        job = {"arguments": arguments, "folder": str(cwd), "environment": clean_environment() | (env or {})}
        process = warm()
        process.stdin.write(json.dumps(job | {"outputs": [str(output) for output in outputs]}) + "\n")
        process.stdin.flush()
        ended = int(process.stdout.readline())
        texts = [output.read_text() for output in outputs]
    return judged(subprocess.CompletedProcess(arguments, ended, *texts), code)


def fails(work: Path, code: int, sentence: str, *arguments: str, **more) -> None:
    """The command ends with this code and sentence, and leaves the folder as it was."""
    before = contents(work)
    done = (run if "preexec_fn" in more else forked)(*arguments, cwd=work, code=code, **more)
    assert sentence in done.stderr
    assert contents(work) == before


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, hidden files too; folders end with a slash."""
    return {f"{p.name}/" if p.is_dir() else p.name: b"" if p.is_dir() else p.read_bytes() for p in folder.iterdir()}
