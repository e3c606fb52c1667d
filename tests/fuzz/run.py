"""Fuzz the parsers: `python tests/fuzz/run.py --seconds 60 [--only TARGET]`. Needs the extra `fuzz`.

Each target runs in a process of its own, one after another. It fails on any exception but the documented ones, on an
input that takes more than 2 s of processor time, and on one that takes more than 64 MiB and twice its own size.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The allocator gives large blocks back at once, so that what one input takes cannot hide in what another left.
_FOLDERS = [str(HERE.parent / folder) for folder in ("container", "flows")]
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "1048576", "OMP_NUM_THREADS": "1"}
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join([*_FOLDERS, *filter(None, [os.environ.get("PYTHONPATH")])])


def names() -> list[str]:
    """Of all targets, as the child knows them; this process loads nothing large."""
    code = "import fuzz_targets; print(*fuzz_targets.TARGETS)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HERE,
        env=os.environ | ENVIRONMENT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.split()


def run(name: str, seconds: int, seed: int, folder: Path) -> dict[str, object]:
    """Fuzz one target. Returns what the child measured; its log lies in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "fuzz_child.py"), name, "--folder", str(folder)]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    with (folder / "log.txt").open("wb") as log:
        try:
            done = subprocess.run(
                command, stdout=log, stderr=log, env=os.environ | ENVIRONMENT, timeout=seconds + 240, check=False
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -1
    found: dict[str, object] = json.loads(result.read_text()) if result.exists() else {"target": name}
    if code and not found.get("failure"):
        found["failure"] = f"the process ended with {code}, see {folder / 'log.txt'}"
    return found


def main() -> int:
    """Fuzz all targets or one; the exit code is 1 if there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--only", action="append", metavar="TARGET", help="may be repeated")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="of the fuzzer")
    parser.add_argument("--folder", type=Path, help="keeps corpora, logs and findings (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    known = names()
    unknown = set(arguments.only or ()) - set(known)
    if unknown:
        parser.error(f"there is no target {sorted(unknown)[0]}; there are: {', '.join(known)}")
    print(f"seed {arguments.seed}, {arguments.seconds} s a target, findings in {folder}", flush=True)
    print(f"{'target':24}{'executions':>12}{'accepted':>10}{'worst s':>9}{'worst MiB':>11}", flush=True)
    rows = []
    for name in arguments.only or known:
        row = run(name, arguments.seconds, arguments.seed, folder / name)
        rows.append(row)
        numbers = (int(str(row.get("executions", 0))), int(str(row.get("accepted", 0))))
        worst = (float(str(row.get("worst_s", 0))), int(str(row.get("worst_bytes", 0))) / 2**20)
        print(f"{name:24}{numbers[0]:>12,}{numbers[1]:>10,}{worst[0]:>9.3f}{worst[1]:>11.1f}", flush=True)
        if row.get("failure"):
            print(f"  FAILED: {row['failure']}", flush=True)
    total = sum(int(str(row.get("executions", 0))) for row in rows)
    print(f"{total:,} executions, {sum(bool(row.get('failure')) for row in rows)} findings", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(row.get("failure") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
