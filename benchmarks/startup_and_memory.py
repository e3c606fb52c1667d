"""Is `ncipher --help` instant, and is opening bounded in memory?

    python benchmarks/startup_and_memory.py [--runs 7]

Whole processes: `ncipher --help` against `python -c "import typer, rich"`, in turn; the peak memory of opening bundles
of the carried clip with 15 and 60 frames at 320x180, beside that of importing what opening imports; and the peak memory
of sealing 64 frames at 320x180, the clip forwards and then backwards, with some steps of training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clips import write_pngs

import neuralcipher
from neuralcipher.video.reading import probe, read_frames

SEALED_FRAMES = 64
SEAL_STEPS = 20
IMPORTS = "import neuralcipher.pipeline.opening"


def frames_there_and_back(folder: Path, count: int) -> None:
    """Write `count` frames of the carried clip as PNG; behind its end it runs backwards."""
    clip = neuralcipher.demo_clip()
    frames = list(read_frames(clip, probe(clip, max_frames=count)))
    write_pngs([*frames, *frames[-2::-1]][:count], folder)


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def peak_mb(command: list[str]) -> float:
    """Peak resident memory of one process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return usage.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    ncipher = str(Path(sys.executable).with_name("ncipher"))
    pairs = [
        (seconds([ncipher, "--help"]), seconds([sys.executable, "-c", "import typer, rich"])) for _ in range(runs + 1)
    ][1:]
    result: dict[str, object] = {
        "help_s": round(statistics.median(a for a, _ in pairs), 3),
        "typer_rich_s": round(statistics.median(b for _, b in pairs), 3),
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        "imports_mb": round(peak_mb([sys.executable, "-c", IMPORTS])),
    }
    with tempfile.TemporaryDirectory() as folder:
        key = str(Path(folder, "k.bin"))
        seconds([ncipher, "keygen", key])
        clip = str(neuralcipher.demo_clip())
        for frames in (15, 60):
            # In processes of their own: a child starts with its parent's peak.
            bundle = str(Path(folder, f"{frames}.ncv"))
            seconds(
                [ncipher, "seal", clip, "-o", bundle, "-k", key, "-q", "--budget", "5", "--max-frames", str(frames)]
            )
            command = [ncipher, "open", bundle, "--key", key, "--force"]
            result[f"open_{frames}_frames_mb"] = round(peak_mb(command))
        pngs = Path(folder, "frames")
        frames_there_and_back(pngs, SEALED_FRAMES)
        bundle = str(Path(folder, "sealed.ncv"))
        steps = ["-O", f"steps={SEAL_STEPS}"]
        result[f"seal_{SEALED_FRAMES}_frames_mb"] = round(
            peak_mb([ncipher, "seal", str(pngs), "-o", bundle, "-k", key, "-q", *steps])
        )
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
