"""Every fault, and kill -9 of the installed command at random moments: too slow for every change, to be run by hand.

    python tests/faults/run.py --moments 50 --seed 7

Prints one line a command and kind of fault, and ends with exit code 1 if data was lost.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fault_parts import (
    CHANGES,
    COMMANDS,
    FAIL,
    FULL,
    SIGNAL,
    SIGNALS,
    Command,
    Ground,
    Nursery,
    build_shim,
    disturbed,
    is_checkpoint,
    judge,
    leftovers,
    listing,
)

NCIPHER = str(Path(sys.executable).with_name("ncipher"))
AT_RANDOM = ("seal", "rekey", "mp4")
KINDS: Mapping[str, Mapping[str, int]] = {
    "kill -9": {"mode": SIGNAL, "number": signal.SIGKILL},
    "ENOSPC": {"mode": FULL, "number": errno.ENOSPC},
    "EIO": {"mode": FAIL, "number": errno.EIO},
    **{name: {"mode": SIGNAL, "number": number} for name, number in SIGNALS.items()},
}


class Tally:
    """What came of the faults of one kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lost: list[str] = []

    def add(self, where: str, outcome: str) -> None:
        self.counts[outcome] += 1
        if outcome == "LOST":
            self.lost.append(where)

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))


def at_every_operation(ground: Ground, command: Command, kind: str) -> Tally:
    """The n-th file operation, for every n."""
    tally = Tally()
    _, count = ground.undisturbed(command)
    for at in range(1, count + 1):
        where = f"{command.name}, {kind} at operation {at}"
        try:
            done, state, left = disturbed(ground, command, classes=CHANGES, at=at, **KINDS[kind])
        except Exception as error:
            tally.add(f"{where}: {error}", "LOST")
            continue
        temporary = [name for name in left if not is_checkpoint(command, name)]
        tidy = kind == "kill -9" or not temporary or done.code == 0
        honest = "Traceback" not in done.stderr and (not kind.startswith("SIG") or done.code == 130)
        tally.add(f"{where}: {left} {done.stderr}", state if tidy and honest else "LOST")
    return tally


def start(shim: Path, folder: Path, command: Command, **more: Any) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NCIPHER_")}
    environment |= {"LD_PRELOAD": str(shim), "FAULT_FOLDER": str(folder.resolve()), **more}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [NCIPHER, *command.arguments], cwd=folder, env=environment, stdin=quiet, stdout=quiet, stderr=quiet
    )


def writing_us(shim: Path, ground: Ground, command: Command) -> int:
    """Microseconds from the first temporary file until it has its final name, undisturbed."""
    with ground.folder(command) as folder:
        names = set(os.listdir(folder))
        process = start(shim, folder, command)
        while not set(os.listdir(folder)) - names - {command.target}:
            if process.poll() is not None:
                raise RuntimeError(f"{command.name} made no temporary file")
        began = time.monotonic()
        while set(os.listdir(folder)) - names - {command.target}:
            pass
        took = time.monotonic() - began
        if process.wait():
            raise RuntimeError(f"{command.name} failed")
    return round(took * 1e6)


def at_random_moments(shim: Path, ground: Ground, command: Command, moments: int, seed: int) -> Tally:
    """The installed command, started anew each time, killed while it writes."""
    draw, tally = random.Random(f"{seed} {command.name}"), Tally()
    spread_us = round(1.1 * max(writing_us(shim, ground, command) for _ in range(3)))
    reference, _ = ground.undisturbed(command)
    print(f"{command.name}: it writes for {spread_us / 1e3:.1f} ms", flush=True)
    for _ in range(moments):
        delay_us = draw.randrange(spread_us)
        with ground.folder(command) as folder:
            before = listing(folder)
            code = start(shim, folder, command, FAULT_DELAY_US=str(delay_us)).wait()
            if code not in (0, -signal.SIGKILL):
                raise RuntimeError(f"{command.name} ended with {code}")
            try:
                state = judge(command, folder, before, reference)
            except Exception as error:
                tally.add(f"{command.name} killed after {delay_us} us: {error}", "LOST")
                continue
            left = " with a temporary file" if leftovers(command, before, listing(folder)) else ""
            tally.add("", f"{state}{left}" if code else "done before the kill")
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=list(COMMANDS))
    chosen = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="faults-"))
    (scratch / "outputs").mkdir()
    shim = build_shim(scratch)
    nursery = Nursery(shim, scratch / "outputs")
    ground = Ground.make(nursery, scratch)
    total: Counter[str] = Counter()
    lost: list[str] = []

    def told(name: str, kind: str, tally: Tally) -> None:
        print(f"{name:<13} {kind:<24} {tally}", flush=True)
        total.update(tally.counts)
        lost.extend(tally.lost)

    try:
        for command in (COMMANDS[name] for name in chosen.only):
            for kind in KINDS:
                told(command.name, f"{kind} at every step", at_every_operation(ground, command, kind))
        for name in AT_RANDOM:
            if name in chosen.only and chosen.moments:
                tally = at_random_moments(shim, ground, COMMANDS[name], chosen.moments, chosen.seed)
                told(name, "kill -9 at random", tally)
    finally:
        nursery.close()
        shutil.rmtree(scratch, ignore_errors=True)
    for sentence in lost:
        print("LOST", sentence)
    print(f"{sum(total.values())} faults, data lost or left in disorder: {total['LOST']} (seed {chosen.seed})")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
