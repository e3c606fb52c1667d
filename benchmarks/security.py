"""The targets of docs/security-evaluation.md: every attack on every one of them, as one table.

    python benchmarks/security.py [--full] [--seed 0] [--jobs 2] [--shape 3x128x128] [--only TARGET ...]
        [--frames 12] [--scale 64x48] [--resume DIR] [--out DIR] [VIDEO]

Targets: `feistel` with 1, 2, 3, 4, 6 and 8 rounds; the `autoencoder` generator by Algorithm 2 plain and as shipped;
`chacha20`; planted weak generators; bundles of VIDEO (default: the demo clip): "paper" (bare, autoencoder flow and
generator), "bare-autoencoder" (bare, autoencoder flow, feistel), "bare-latent", "sealed", and "sealed-opened", which
looks behind the outer encryption. Prints a Markdown table of verdicts; DIR gets JSON and HTML of every target.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import neuralcipher
from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.engine import Report, run_suite
from neuralcipher.attacks.planted.generators import GENERATORS, PREFIX
from neuralcipher.attacks.report.html import page
from neuralcipher.attacks.report.record import record
from neuralcipher.attacks.resume import Journal
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.targets import BundleTarget, GeneratorTarget, PackedCredential, Target
from neuralcipher.keys import Key
from neuralcipher.pipeline.options import SealOptions
from neuralcipher.pipeline.sealing import seal

Shape = tuple[int, int, int]
KEY = bytes(range(32))  # a benchmark's key, so that a run can be resumed

SHORT = {
    Verdict.BROKEN: "BROKEN",
    Verdict.NOT_BROKEN: "not broken",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.INVALID: "INVALID",
    Verdict.ERROR: "ERROR",
}


def generator_targets(shape: Shape) -> dict[str, Callable[[], Target]]:
    """Name in the table -> target."""
    made: dict[str, Callable[[], Target]] = {}
    for rounds in (1, 2, 3, 4, 6, 8):
        made[f"feistel-{rounds}"] = lambda rounds=rounds: GeneratorTarget("feistel", shape, {"rounds": rounds})
    made["autoencoder-plain"] = lambda: GeneratorTarget("autoencoder", shape, {"remedies": 0})
    made["autoencoder"] = lambda: GeneratorTarget("autoencoder", shape)
    made["chacha20"] = lambda: GeneratorTarget("chacha20", shape)
    for name in GENERATORS:
        made[PREFIX + name] = lambda name=name: GeneratorTarget(PREFIX + name, shape)
    return made


def bundle_targets(
    video: Path, folder: Path, frames: int, scale: str, budget_s: float
) -> dict[str, Callable[[], Target]]:
    """Bundles are sealed when they are first asked for."""

    def make(name: str, suite: str, flow: str, generator: str, assume_opened: bool = False) -> Callable[[], Target]:
        def build() -> Target:
            path = folder / f"{name}.ncv"
            if not path.exists():
                options = SealOptions(
                    suite=suite,
                    flow=flow,
                    generator=generator,
                    budget_s=budget_s,
                    max_frames=frames,
                    scale=scale,
                    seed=0,
                )
                seal(video, path, keys=[Key(KEY)], options=options)
            return BundleTarget(path, (PackedCredential.pack(Key(KEY)),), assume_opened)

        return build

    return {
        "paper": make("paper", "bare", "autoencoder", "autoencoder"),
        "bare-autoencoder": make("bare-autoencoder", "bare", "autoencoder", "feistel"),
        "bare-latent": make("bare-latent", "bare", "latent", "feistel"),
        "sealed": make("sealed", "sealed", "latent", "feistel"),
        "sealed-opened": make("sealed", "sealed", "latent", "feistel", assume_opened=True),
    }


def cell(report: Report, name: str) -> str:
    """One cell of the table."""
    for row in report.rows:
        if row.info.name == name:
            if row.skipped:
                return "-"
            value = "" if row.target is None else f" ({row.target.value:.3g})"
            return SHORT[row.verdict] + (" by design" if row.known else "") + value
    return "-"


def table(reports: dict[str, Report]) -> str:
    """Rows are attacks, columns are targets."""
    rows = {row.info.name: row.info for report in reports.values() for row in report.rows}
    ordered = sorted(rows.values(), key=lambda info: (info.number or 1000, info.name))
    lines = [f"| # | attack | {' | '.join(reports)} |", "|---|---|" + "---|" * len(reports)]
    for info in ordered:
        cells = " | ".join(cell(report, info.name) for report in reports.values())
        lines.append(f"| {info.number} | {info.name} | {cells} |")
    lines.append(f"| | **verdict** | {' | '.join(SHORT[report.verdict] for report in reports.values())} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", type=Path, default=neuralcipher.demo_clip())
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--shape", default="3x128x128")
    parser.add_argument("--only", action="append")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--scale", default="64x48")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of sealing for each bundle")
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    channels, height, width = (int(part) for part in arguments.shape.split("x"))
    folder = arguments.out or Path(tempfile.mkdtemp(prefix="security-"))
    folder.mkdir(parents=True, exist_ok=True)
    targets = generator_targets((channels, height, width))
    targets |= bundle_targets(arguments.video, folder, arguments.frames, arguments.scale, arguments.budget)
    settings = Settings("full" if arguments.full else "quick", arguments.seed)
    journal = Journal(arguments.resume) if arguments.resume else None
    reports: dict[str, Report] = {}
    for name in arguments.only or targets:
        started = time.monotonic()
        reports[name] = run_suite(targets[name](), settings=settings, jobs=arguments.jobs, journal=journal)
        print(f"{name}: {reports[name].verdict.value}, {time.monotonic() - started:.0f} s", flush=True)
        (folder / f"{name}.json").write_text(json.dumps(record(reports[name]), indent=1))
        (folder / f"{name}.html").write_text(page(reports[name]))
    print(table(reports))


if __name__ == "__main__":
    main()
