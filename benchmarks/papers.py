"""What do the papers' figures, tables and claims look like when they are made again?

    python benchmarks/papers.py --davis FOLDER --kth FOLDER --out FOLDER [--budget 25 | --steps N] [--only NAME,...]

FOLDERs hold `breakdance` and `parkour` of DAVIS 2017 as frames, and the videos of KTH that papers_bench.py names; the
project carries neither. Every fit is worth `--budget` processor seconds, some a multiple, on one thread. `--wide` takes
the papers' 128 filters instead of 32. What was measured is kept: a run goes on where the last one ended, and `--only`
measures anew. Written to --out: papers.json, papers.md, and a PNG for each figure.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import papers_claims
import papers_figures
import torch
from papers_bench import Bench, Row, read, write

EXPERIMENTS: dict[str, Callable[[Bench], list[Row]]] = {
    "figure-1": papers_figures.figure_1,
    "figure-2": papers_figures.figure_2,
    "figure-3": papers_figures.figure_3,
    "figure-4": papers_figures.figure_4,
    "figures-5-6": papers_figures.figures_5_and_6,
    "carried": papers_figures.carried_clip,
    "second-paper": papers_figures.second_paper,
    "epochs": papers_claims.epochs,
    "curriculum": papers_claims.curriculum_and_key_frames,
    "drift": papers_claims.drift,
    "dilation": papers_claims.dilation,
    "two-layers": papers_claims.two_networks_of_32,
    "precision": papers_claims.precision,
    "half-training": papers_claims.half_training,
    "ratios": papers_claims.ratios,
    "beyond": papers_claims.beyond_the_end,
    "beyond-small": papers_claims.beyond_in_small,
    "figure-3-half": papers_figures.figure_3_half,
    "own-key": papers_claims.own_key,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--davis", type=Path, required=True, help="folder with breakdance and parkour")
    parser.add_argument("--kth", type=Path, required=True, help="folder with the videos of KTH")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=25.0, help="processor seconds of a usual fit")
    parser.add_argument("--steps", type=int, help="of every fit, instead of a budget")
    parser.add_argument("--frames", type=int, default=8, help="of a usual clip")
    parser.add_argument("--wide", action="store_true", help="128 filters where the papers have 128")
    parser.add_argument("--only", default="", help=f"some of {', '.join(EXPERIMENTS)}")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.split(",") if name]
    for name in wanted:
        if name not in EXPERIMENTS:
            parser.error(f"no experiment is called {name!r}; there are {', '.join(EXPERIMENTS)}")
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        arguments.davis,
        arguments.kth,
        arguments.out,
        arguments.budget,
        arguments.steps,
        arguments.frames,
        arguments.wide,
    )
    rows = read(arguments.out)
    for name, experiment in EXPERIMENTS.items():
        if (wanted and name not in wanted) or (not wanted and name in rows):
            continue
        started = time.process_time()
        rows[name] = experiment(bench)
        write({known: rows[known] for known in EXPERIMENTS if known in rows}, arguments.out)
        for row in rows[name]:
            print(f"{row.figure}: {row.what}: {row.ours} [{row.seconds:.0f} s]", flush=True)
        print(f"{name}: {time.process_time() - started:.0f} processor seconds in all", flush=True)


if __name__ == "__main__":
    main()
