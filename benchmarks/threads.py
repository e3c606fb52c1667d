"""Does a second thread pay, and how should it wait?

    python benchmarks/threads.py [--clip bunny] [--runs 3] [--busy 2]

Fits and generators that take torch's threads, each in a process of its own: on one thread, and on all cores with
threads that sleep at once, or spin before for some 10 us (what the command sets) or 1 ms (GNU's own, unless told).
Seconds by the clock, imports left out, and processor seconds in brackets; the median of the runs. `--busy` times
everything again beside so many processes that never wait.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from unittest.mock import patch

WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "asleep at once": {"GOMP_SPINCOUNT": "0"},
    "10 us": {"GOMP_SPINCOUNT": "10000"},
    "1 ms": {"GOMP_SPINCOUNT": "300000"},
}
FITS = {  # flow, size, frames, options
    "latent, 160x90": ("latent", (160, 90), 16, {"steps": 0}),
    "latent, 320x180": ("latent", (320, 180), 8, {"steps": 0}),
    "latent, 160x90, training": ("latent", (160, 90), 8, {"steps": 200}),
    "autoencoder, 160x90": ("autoencoder", (160, 90), 8, {"steps": 100}),
    "recurrent, 96x54, 32 filters": ("recurrent", (96, 54), 8, {"steps": 60, "nconv": 32}),
    "recurrent, 160x90, 128 filters": ("recurrent", (160, 90), 8, {"steps": 12, "nconv": 128}),
}
GENERATORS = {"feistel, (8, 32, 16)": (8, 32, 16), "feistel, (3, 180, 320)": (3, 180, 320)}
LATENTS = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="bunny")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--busy", type=int, default=2, help="processes beside in the second table, 0 for none")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.clip)))
        return
    for others in sorted({0, options.busy}):
        print(f"\n{others} processes beside\n\n| what | {' | '.join(WAYS)} |\n|{'---|' * (len(WAYS) + 1)}")
        with busy(others):
            for what in (*FITS, *GENERATORS):
                cells = [timed(what, way, options) for way in WAYS.values()]
                print(f"| {what} | {' | '.join(cells)} |", flush=True)


def timed(what: str, way: dict[str, str], options: argparse.Namespace) -> str:
    """Seconds of one job done in one way."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--clip", options.clip, "--child", what]
    runs = [
        json.loads(subprocess.run(command, env=plain | way, check=True, capture_output=True).stdout)
        for _ in range(options.runs)
    ]
    clock, processor = (statistics.median(run[place] for run in runs) for place in (0, 1))
    return f"{clock:.2f} s ({processor:.2f})"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that never wait."""
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def measure(what: str, clip: str) -> tuple[float, float]:
    """Seconds by the clock and of the processor, in this process."""
    from neuralcipher.process import prepare

    prepare()
    import torch

    if what in GENERATORS:
        from neuralcipher.generators.feistel import FeistelGenerator

        latent = torch.zeros(GENERATORS[what], dtype=torch.uint8)
        generator = FeistelGenerator(GENERATORS[what], bytes(32))
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(LATENTS):
            latent = generator.next_latent(latent)
        return time.perf_counter() - clock, time.process_time() - processor

    from clips import load_frames, parse_clip
    from papers_bench import CPU, plain_keystream, to_tensor

    from neuralcipher.flows import base as flows
    from neuralcipher.flows.base import FitContext

    name, size, count, options = FITS[what]
    video = to_tensor(load_frames(replace(parse_clip(clip), size=size, frames=count)))
    kind = flows.find(name)
    with patch("neuralcipher.flows.latent.flow.one_thread", nullcontext):  # which it would be left to
        fit = kind(kind.config_type(**options)).fit
        clock, processor = time.perf_counter(), time.process_time()
        fit(video, plain_keystream, FitContext(0.0, 0, CPU, lambda report: None))
        return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
