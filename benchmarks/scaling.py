"""How cost grows: twice the frames and four times the pixels, each sealed and opened in a process of its own.

One attempt and no training, which is the work that a budget cannot shorten; training ends with the budget at any size.
Processor seconds of all threads, the least of `ROUNDS` rounds over all sizes, so that whatever else the machine does
weighs little. Peak memory is that of the whole process, and beside it what the imports alone take.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from clips import Clip, load_frames, write_pngs

SIZES = ((160, 90), (320, 180))
FRAMES = (32, 64)
QUALITY = 60
ROUNDS = 3


def table(clip: Clip, threads: int) -> list[dict[str, Any]]:
    """One row for each size and number of frames."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        cases: list[tuple[Path, str, float]] = []
        for size in SIZES:
            for count in FRAMES:
                frames = load_frames(replace(clip, size=size, frames=count))
                folder = Path(scratch, str(len(cases)))
                write_pngs(frames, folder / "frames")
                cases.append((folder, clip.label(frames), len(frames) * size[0] * size[1] / 1e6))
        rounds = [[_in_process(folder, threads) for folder, _, _ in cases] for _ in range(ROUNDS)]
    for (_, label, megapixels), *measured in zip(cases, *rounds, strict=True):
        least = {name: min(each[name] for each in measured) for name in measured[0]}
        per = {f"{name}_per_mp": round(least[name] / megapixels, 3) for name in ("seal_s", "open_s")}
        rows.append({"clip": label, "megapixels": round(megapixels, 3), **least, **per})
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table, and how far from linear they are."""
    heads = ("clip", "MP", "seal", "per MP", "open", "per MP", "bytes", "peak memory", "after imports")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    form = (
        "| {clip} | {megapixels} | {seal_s:.2f} s | {seal_s_per_mp:.2f} s | {open_s:.2f} s | {open_s_per_mp:.3f} s "
        "| {size_bytes:,} | {peak_mb:.0f} MB | {import_mb:.0f} MB |"
    )
    lines += [form.format(**row) for row in rows]
    for name in ("seal", "open"):
        per = [row[f"{name}_s_per_mp"] for row in rows]
        lines.append(f"\n{name}: per megapixel, the dearest row costs {max(per) / min(per):.2f} times the cheapest")
    return "\n".join(lines) + "\n"


def _in_process(folder: Path, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, str(folder), str(threads)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(finished.stdout)
    return measured


def _peak_mb() -> float:
    """Of this process so far; macOS counts bytes, others KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _measure(folder: Path, threads: int) -> dict[str, float]:
    """What the child process does: seal the frames in `folder`/frames."""
    import torch
    from sealed import open_frames

    import neuralcipher

    torch.set_num_threads(threads)
    _ = neuralcipher.seal, neuralcipher.SealOptions  # loads them
    import_mb = _peak_mb()
    key = neuralcipher.generate_key()
    options = neuralcipher.SealOptions(flow_options={"quality": QUALITY, "steps": 0}, seed=0, device="cpu")
    bundle = folder / "b.ncv"
    started = time.process_time()
    report = neuralcipher.seal(folder / "frames", bundle, keys=[key], options=options, force=True)
    sealed = time.process_time()
    peak_mb = _peak_mb()
    warm = time.process_time()
    open_frames(bundle, key)
    return {
        "seal_s": round(sealed - started, 3),
        "open_s": round(time.process_time() - warm, 3),
        "size_bytes": report.size_bytes,
        "psnr_rgb": report.psnr_db,
        "peak_mb": round(peak_mb, 1),
        "import_mb": round(import_mb, 1),
    }


def main() -> None:
    """The child process: print one JSON object."""
    from neuralcipher.process import prepare

    prepare()
    folder, threads = sys.argv[1:]
    print(json.dumps(_measure(Path(folder), int(threads))))


if __name__ == "__main__":
    main()
