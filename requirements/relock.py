"""Make the lock files again from pyproject.toml and constraints.txt.

    pip install uv && python requirements/relock.py [--upgrade]

Every pin that still fits is kept, unless --upgrade asks for the newest. One resolution serves Python 3.10 to 3.13,
Linux and macOS; its pins go to two files, by whether the CPU build of torch needs them:

    dev.lock.txt    everything, with the CPU build of torch
    cuda.lock.txt   what the build of torch that PyPI has for Linux needs besides
    audit.lock.txt  the tools of audit.in, for an environment of their own
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXTRAS = ("dev", "bench")
CUDA_ONLY = re.compile(r"(nvidia-|cuda-|triton==)")
HEADER = "# Made by `python requirements/relock.py`; docs/dependencies.md says how to install from it.\n"


def resolve(*arguments: str, pins: str) -> str:
    """What `uv pip compile` prints for `arguments`, starting from the versions in `pins`."""
    program = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.10", "--generate-hashes"]
    program += ["--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-config", *arguments]
    kept = HERE / "kept.tmp"  # uv takes its preferences from the file it would write
    kept.write_text(pins, encoding="utf-8")
    try:
        subprocess.run([*program, "--output-file", str(kept)], cwd=HERE.parent, check=True, stdout=subprocess.DEVNULL)
        return kept.read_text(encoding="utf-8")
    finally:
        kept.unlink()


def entries(text: str) -> Iterator[str]:
    """The pins of a lock file one by one, each with its hashes and the comment on who asks for it."""
    entry = ""
    for line in text.splitlines(keepends=True):
        if not line.startswith((" ", "#")) and entry:
            yield entry
            entry = ""
        entry += "" if line.startswith("#") else line
    if entry:
        yield entry


def with_cpu_wheels(entry: str) -> str:
    """The pin of torch with the digests of torch-cpu.sha256 beside those of PyPI."""
    version = entry.removeprefix("torch==").split(maxsplit=1)[0]
    lines = (HERE / "torch-cpu.sha256").read_text(encoding="utf-8").splitlines()
    listed = [line.split() for line in lines if not line.startswith("#")]
    digests = {digest for digest, name in listed if name.startswith(f"torch-{version}+cpu-")}
    if not digests:
        sys.exit(f"torch-cpu.sha256 has no CPU build of torch {version}: add its digests")
    first, *rest = entry.splitlines(keepends=True)
    rest += [f"    --hash=sha256:{digest} \\\n" for digest in digests]
    hashes = sorted({line.rstrip(" \\\n") for line in rest if line.lstrip().startswith("--hash")})
    return first + " \\\n".join(hashes) + "\n" + "".join(line for line in rest if line.lstrip().startswith("#"))


def main() -> None:
    fresh = "--upgrade" in sys.argv[1:]
    old = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.lock.txt") if not fresh}
    chosen = [word for extra in EXTRAS for word in ("--extra", extra)]
    text = resolve(
        "pyproject.toml",
        *("--constraints", "constraints.txt", *chosen),
        pins=old.get("dev.lock.txt", "") + old.get("cuda.lock.txt", ""),
    )
    files = {"dev.lock.txt": HEADER, "cuda.lock.txt": HEADER}
    for entry in entries(text):
        name = "cuda.lock.txt" if CUDA_ONLY.match(entry) else "dev.lock.txt"
        files[name] += with_cpu_wheels(entry) if entry.startswith("torch==") else entry
    tools = resolve("requirements/audit.in", pins=old.get("audit.lock.txt", ""))
    files["audit.lock.txt"] = HEADER + "".join(entries(tools))
    for name, content in files.items():
        if "://" in content:
            sys.exit(f"{name} would name an index: {os.linesep.join(re.findall('.*://.*', content))}")
        (HERE / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
