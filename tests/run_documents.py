"""Run every code block of the README and the docs, and every example: each page in a folder of its own.

    python tests/run_documents.py [PAGE ...]

All sh blocks of a page run in order in one bash, then all python blocks as one script. A block behind a comment
`<!-- not run: reason -->` is listed instead. `video.mp4` in the folder is the carried clip.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import neuralcipher

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- not run: [^>]*-->\s*)?^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The programs that a page or an example stands for."""
    if page.suffix == ".py":
        return [[sys.executable, str(page)]]
    blocks = {"sh": "", "python": ""}
    for skipped, language, code in BLOCK.findall(page.read_text()):
        if skipped:
            print(f"  {page.name}: {skipped.strip()[5:-3].strip()}")
        else:
            blocks[language] += code
    runs = []
    if blocks["sh"]:
        runs.append(["bash", "-euo", "pipefail", "-c", blocks["sh"]])
    if blocks["python"]:
        runs.append([sys.executable, "-c", blocks["python"]])
    return runs


def run(page: Path) -> bool:
    """Run one page; True if all of it passed."""
    programs = commands(page)
    if not programs:
        return True
    started = time.monotonic()
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(neuralcipher.demo_clip(), Path(folder, "video.mp4"))
        for program in programs:
            done = subprocess.run(
                program, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"FAILED {page.relative_to(ROOT)}\n{done.stdout}{done.stderr}")
                return False
    print(f"passed {page.relative_to(ROOT)} in {time.monotonic() - started:.1f} s")
    return True


def main() -> None:
    named = [Path(name).resolve() for name in sys.argv[1:]]
    pages = named or [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("examples/*.py"))]
    results = [run(page) for page in pages]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
