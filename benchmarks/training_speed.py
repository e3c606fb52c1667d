"""What does the shared trainer cost, beside a bare loop on the same network and the same frames?

    python benchmarks/training_speed.py [--size 128x128] [--steps 10] [--rounds 5]

Steps per second of the recurrent flow's network, one window of recall a step: a bare PyTorch loop (frames already in
floating point, no clipping, no way back), then ours with weights of 32 and of 8 bits, in turns. Seconds are those of
the processor, so that a busy machine does not count. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.nn import functional as F

from neuralcipher.flows.algorithm1 import Algorithm1
from neuralcipher.flows.device import place, training_precision
from neuralcipher.flows.recurrent import RecurrentConfig
from neuralcipher.flows.recurrent.curriculum import Curriculum
from neuralcipher.flows.training import ADAM, Phase, Trainer

CPU = torch.device("cpu")
WINDOW, NCONV, FRAMES = 4, 32, 16


def bare(frames: torch.Tensor, steps: int) -> None:
    """The loop that anybody would write."""
    truth = frames.float() / 255
    network = Algorithm1(NCONV)
    place(network, CPU)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(steps):
        start = step % (len(truth) - WINDOW)
        with training_precision(CPU):
            y, loss = truth[start : start + 1], torch.zeros(())
            for number in range(WINDOW):
                y = network(y).float()
                loss = loss + F.mse_loss(y, truth[start + number + 1 : start + number + 2]) / WINDOW
                y = y.clamp(0, 1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def ours(frames: torch.Tensor, steps: int, bits: int) -> None:
    """The same work through the flow's own parts; with 8 bits, the last 30 % on the grid that is stored."""
    config = RecurrentConfig(curriculum_from=WINDOW, curriculum_to=WINDOW, window=WINDOW, batch=WINDOW)
    network = Algorithm1(NCONV)
    place(network, CPU)
    phase = Phase(lambda step: step / steps, lambda step, done, loss: None)
    trainer = Trainer("recurrent", network, bits, CPU, phase, optimiser=ADAM)
    trainer.train(Curriculum(frames, config, 0, CPU).loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="128x128")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    draw = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (FRAMES, 3, height, width), dtype=torch.uint8, generator=draw)
    work: dict[str, Callable[[], None]] = {
        "bare": lambda: bare(frames, arguments.steps),
        "ours_32": lambda: ours(frames, arguments.steps, 32),
        "ours_8": lambda: ours(frames, arguments.steps, 8),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    bare(frames, 2)
    for _ in range(arguments.rounds):
        for name, run in work.items():
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    result: dict[str, object] = {"size": arguments.size, "nconv": NCONV, "window": WINDOW}
    for name in work:
        result[f"{name}_steps_s"] = round(arguments.steps / statistics.median(seconds[name]), 2)
        ratios = [mine / theirs for mine, theirs in zip(seconds[name], seconds["bare"], strict=True)]
        result[f"{name}_ratio"] = round(statistics.median(ratios), 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
