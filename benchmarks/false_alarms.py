"""How often does the suite call an ideal generator BROKEN? Whole runs on chacha20 with different seeds.

    python benchmarks/false_alarms.py [--runs 20] [--shape 3x64x64] [--first-seed 100] [--full] [--jobs 1]

Prints every row that was BROKEN or INVALID, and the exact interval of the rate of runs with one. The suite's level is
0.001 for each run, so any such run among 20 would say that a null is wrong.
"""

from __future__ import annotations

import argparse

from neuralcipher.process import prepare

prepare()  # before torch is loaded

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.engine import run_suite
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.statistics import clopper_pearson
from neuralcipher.attacks.targets import GeneratorTarget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--shape", default="3x64x64")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    channels, height, width = (int(part) for part in arguments.shape.split("x"))
    alarms = rows = 0
    for number in range(arguments.runs):
        seed = arguments.first_seed + number
        settings = Settings("full" if arguments.full else "quick", seed)
        target = GeneratorTarget("chacha20", (channels, height, width), seed=seed)
        report = run_suite(target, settings=settings, jobs=arguments.jobs)
        attacked = [row for row in report.rows if not row.skipped and not row.known]
        bad = [row for row in attacked if row.verdict in (Verdict.BROKEN, Verdict.INVALID, Verdict.ERROR)]
        rows += len(attacked)
        alarms += bool(bad)
        for row in bad:
            print(f"seed {seed}: {row.info.name} {row.verdict.value}, p {row.adjusted}, {row.error}", flush=True)
        least = min(row.target.p_value for row in attacked if row.target is not None and row.target.p_value is not None)
        print(f"seed {seed}: {len(attacked)} rows, least p {least:.2g}, {report.seconds:.0f} s", flush=True)
    low, high = clopper_pearson(alarms, arguments.runs)
    print(f"{alarms} of {arguments.runs} runs with an alarm ({rows} rows); rate within {low:.3f}..{high:.3f}")


if __name__ == "__main__":
    main()
