"""One target under atheris, in a process of its own that run.py starts; what it measured goes to a JSON file."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["neuralcipher"], enable_loader_override=False):
    from fuzz_targets import TARGETS

    from neuralcipher.errors import NeuralCipherError

import torch
from peak_memory import HighWater

WORST_S = 2.0  # of processor time, since a busy machine is no finding
WORST_BYTES = 64 << 20  # and twice the input
_ADDRESS_ROOM = 1 << 30  # asked for and never touched does not show in the resident size, but fails beyond this
_WRITE_EVERY_S = 1.0


class Measured:
    """Runs inputs, keeps the worst, and raises where one goes over a limit."""

    def __init__(self, name: str, out: Path) -> None:
        self._run = TARGETS[name].run
        self._memory = HighWater()
        self._out = out
        self._written = 0.0
        self.found = {"target": name, "executions": 0, "accepted": 0, "worst_s": 0.0, "worst_bytes": 0, "failure": ""}
        self.recording = False

    def __call__(self, data: bytes) -> None:
        before = self._memory.start()
        started = time.process_time()
        accepted = False
        try:
            self._run(data)
            accepted = True
        except NeuralCipherError:
            pass
        except BaseException as error:
            self._fail(f"{type(error).__name__}: {error}")
            raise
        took_s = time.process_time() - started
        peak = max(0, self._memory.peak() - before)
        if not self.recording:
            return
        self.found["executions"] += 1
        self.found["accepted"] += accepted
        self.found["worst_s"] = max(self.found["worst_s"], took_s)
        self.found["worst_bytes"] = max(self.found["worst_bytes"], peak)
        if took_s > WORST_S or peak > WORST_BYTES + 2 * len(data):
            self._fail(f"took {took_s:.2f} s and {peak >> 20} MiB for {len(data)} bytes")
            raise RuntimeError(self.found["failure"])
        if time.monotonic() - self._written > _WRITE_EVERY_S:
            self.write()

    def _fail(self, why: str) -> None:
        self.found["failure"] = why[:300]
        self.write()

    def write(self) -> None:
        """Leave what was measured so far, since the fuzzer ends the process itself."""
        self._written = time.monotonic()
        self._out.write_text(json.dumps(self.found))

    def limit_memory(self) -> None:
        """From now on the process may map one GiB more than it does."""
        most = self._memory.mapped() + _ADDRESS_ROOM
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Run the target named on the command line until its time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for the corpus, findings and result.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    target = TARGETS[arguments.target]
    corpus = arguments.folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    measured = Measured(arguments.target, arguments.folder / "result.json")
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
        for _ in range(3):  # what is made once and kept is not the input's
            measured(seed)
        if measured.found["failure"]:
            sys.exit(1)
    measured(b"")
    measured.recording = True
    measured.write()
    measured.limit_memory()
    flags = [
        f"-max_total_time={arguments.seconds}",
        f"-max_len={target.max_bytes}",
        f"-seed={arguments.seed}",
        f"-artifact_prefix={arguments.folder}/",
        "-timeout=60",
        "-rss_limit_mb=0",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], measured)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
