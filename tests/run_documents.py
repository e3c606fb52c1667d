"""Run every code block of the README and the docs, and every example: each page in a folder of its own.

    python tests/run_documents.py [PAGE ...]

All sh blocks of a page run in order in one bash, then all python blocks as one script. A block behind a comment
`<!-- not run: reason -->` is listed instead. `video.mp4` in the folder is the carried clip. Exit status 1 if any
page fails. Two pages run at once, each with one thread.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import neuralcipher

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?:<!-- not run: (.*?) -->\s*)?^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(?:sh|python)\b", re.MULTILINE)
PAGE_LIMIT_S = 1200
AT_ONCE = 2
PRIVATE = ("NCIPHER_KEY", "NCIPHER_PASSPHRASE")


def programs(page: Path) -> list[list[str]]:
    """The programs that a page or an example stands for; lists the blocks that are not run."""
    if page.suffix == ".py":
        return [[sys.executable, str(page)]]
    text = page.read_text(encoding="utf-8")
    found = BLOCK.findall(text)
    if len(found) != len(FENCE.findall(text)):
        raise ValueError("a block is not closed, or is indented")
    blocks: dict[str, list[str]] = {"sh": [], "python": []}
    for reason, language, code in found:
        if reason:
            print(f"not run {page.relative_to(ROOT)}: {code.splitlines()[0]} ({reason})")
        else:
            blocks[language].append(code)
    runs = []
    if blocks["sh"]:
        runs.append(["bash", "-euo", "pipefail", "-c", "\n".join(blocks["sh"])])
    if blocks["python"]:
        runs.append([sys.executable, "-c", "\n".join(blocks["python"])])
    return runs


def run(program: list[str], folder: str) -> str:
    """Run one program in `folder`; returns what it printed if it failed, else an empty text."""
    environment = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    try:
        done = subprocess.run(
            program,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PAGE_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"still running after {PAGE_LIMIT_S} s"
    return f"{done.stdout}exit status {done.returncode}" if done.returncode else ""


def passes(page: Path) -> bool | None:
    """Run one page and print a line; None if it holds nothing to run."""
    name = page.relative_to(ROOT)
    started = time.monotonic()
    try:
        wanted = programs(page)
    except ValueError as error:
        print(f"FAILED  {name}: {error}", flush=True)
        return False
    if not wanted:
        return None
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(neuralcipher.demo_clip(), Path(folder, "video.mp4"))
        for program in wanted:
            failure = run(program, folder)
            if failure:
                print(f"FAILED  {name} after {time.monotonic() - started:.1f} s\n{failure}", flush=True)
                return False
    print(f"passed  {name} in {time.monotonic() - started:.1f} s", flush=True)
    return True


def main() -> None:
    named = [Path(name).resolve() for name in sys.argv[1:]]
    pages = named or [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("examples/*.py"))]
    with ThreadPoolExecutor(AT_ONCE) as at_once:
        results = [result for result in at_once.map(passes, pages) if result is not None]
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
