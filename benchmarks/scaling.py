"""How sealing's cost grows: twice the frames and four times the pixels, each sealed in a process of its own.

The budget follows the preset "fast", so many seconds per megapixel, without the preset's least budget.
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


def table(clip: Clip, threads: int) -> list[dict[str, Any]]:
    """One row for each size and number of frames."""
    from neuralcipher.pipeline.options import PRESETS

    rows: list[dict[str, Any]] = []
    for size in SIZES:
        for count in FRAMES:
            frames = load_frames(replace(clip, size=size, frames=count))
            megapixels = len(frames) * size[0] * size[1] / 1e6
            with tempfile.TemporaryDirectory() as folder:
                write_pngs(frames, Path(folder, "frames"))
                measured = _in_process(Path(folder), PRESETS["fast"] * megapixels, threads)
            per_megapixel_s = round(measured["seal_s"] / megapixels, 3)
            shown = {"clip": clip.label(frames), "megapixels": round(megapixels, 3), "per_megapixel_s": per_megapixel_s}
            rows.append({**shown, **measured})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table; "beyond" are the seconds beyond the budget."""
    heads = ("clip", "MP", "budget", "seconds", "beyond", "per MP", "open", "bytes", "peak memory", "after imports")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    form = (
        "| {clip} | {megapixels} | {budget_s:.2f} s | {seal_s:.2f} s | {beyond_s:.2f} s | {per_megapixel_s:.2f} s "
        "| {open_s:.2f} s | {size_bytes:,} | {peak_mb:.0f} MB | {import_mb:.0f} MB |"
    )
    lines += [form.format(**row) for row in rows]
    return "\n".join(lines) + "\n"


def _in_process(folder: Path, budget_s: float, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, str(folder), str(budget_s), str(threads)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(finished.stdout)
    return measured


def _peak_mb() -> float:
    """Of this process so far; macOS counts bytes, others KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _measure(folder: Path, budget_s: float, threads: int) -> dict[str, float]:
    """What the child process does: seal the frames in `folder`/frames."""
    import torch
    from sealed import open_frames

    import neuralcipher

    torch.set_num_threads(threads)
    _ = neuralcipher.seal, neuralcipher.SealOptions  # loads them
    import_mb = _peak_mb()
    key = neuralcipher.generate_key()
    options = neuralcipher.SealOptions(
        budget_s=budget_s, flow_options={"quality": QUALITY}, preset="fast", seed=0, device="cpu"
    )
    bundle = folder / "b.ncv"
    started = time.perf_counter()
    report = neuralcipher.seal(folder / "frames", bundle, keys=[key], options=options)
    seal_s = time.perf_counter() - started
    peak_mb = _peak_mb()
    started = time.perf_counter()
    open_frames(bundle, key)
    return {
        "budget_s": round(budget_s, 3),
        "seal_s": round(seal_s, 3),
        "beyond_s": round(seal_s - budget_s, 3),
        "open_s": round(time.perf_counter() - started, 3),
        "size_bytes": report.size_bytes,
        "psnr_rgb": report.psnr_db,
        "peak_mb": round(peak_mb, 1),
        "import_mb": round(import_mb, 1),
    }


def main() -> None:
    """The child process: print one JSON object."""
    from neuralcipher.process import prepare

    prepare()
    folder, budget_s, threads = sys.argv[1:]
    print(json.dumps(_measure(Path(folder), float(budget_s), int(threads))))


if __name__ == "__main__":
    main()
