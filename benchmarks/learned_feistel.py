"""Does feistel diffuse better with learned weights than with those of a public seed?

    python benchmarks/learned_feistel.py [--seeds 5] [--steps 300]

U's weights are trained through a smooth surrogate (the top byte of the quadratic becomes a sine; weights are rounded
with a straight-through gradient) to make what one flipped bit changes independent of what was, after three couplings.
Then they are put into the exact integer generator, and both are measured alike: by number of rounds, the share of
bytes and of bits that one flipped bit changes (ideal 99.61 % and 50 %), over several seeds, on latents of the size that
was trained on and on larger ones. "bold" takes the seed's weights with every size set to 7 and the sign kept, and 7
for a zero: what learning might find, without any.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import torch
import torch.nn.functional as F
from torch import Tensor

from neuralcipher.generators.checks import avalanche, noncyclic, uniformity
from neuralcipher.generators.feistel import Coupling, FeistelConfig, FeistelGenerator

TRAINED = (3, 32, 32)
SHAPES = (TRAINED, (3, 128, 128))
ROUNDS = (2, 3, 4, 5, 6)
TRAINED_ROUNDS = 3
MAGNITUDE = 7
FREQUENCY = 2 * math.pi / 16384
FLIPS = 64
BATCH = 8


def start(shape: tuple[int, int, int], seed: int) -> Tensor:
    """A latent."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def rounded(weight: Tensor) -> Tensor:
    """Integers in -7..7; the gradient is that of the weight."""
    bounded = MAGNITUDE * torch.tanh(weight)
    return bounded + (bounded.round() - bounded).detach()


def surrogate(half: Tensor, generator: FeistelGenerator, coupling: Coupling, first: Tensor, second: Tensor) -> Tensor:
    """U with a sine for the quadratic. half: (batch, size / 2) floats; returns the same shape."""
    grid = generator.grid
    words = half.remainder(256).view(len(half), -1, grid.word)
    x = words.index_select(1, coupling.gather.long())
    x = x.reshape(len(half), -1, grid.width + 8, grid.channels).permute(0, 3, 1, 2)
    t = 127.5 * (1 + torch.sin(FREQUENCY * F.conv2d(x, first)))
    u = F.conv2d(t, second, dilation=3) / 16
    return u.permute(0, 2, 3, 1).reshape(len(half), -1)[:, : grid.size]


def learn(generator: FeistelGenerator, steps: int, seed: int) -> list[float]:
    """Train the weights of all couplings and put them in; returns the mean loss of each fifth of the way."""
    draw = torch.Generator().manual_seed(seed)
    stored = [w for c in generator.couplings for w in (c.first, c.second)]
    weights = [(0.95 * w / MAGNITUDE).atanh().requires_grad_() for w in stored]
    optimiser = torch.optim.Adam(weights, lr=0.02)
    size, losses = 2 * generator.grid.size, []
    for _ in range(steps):
        z = torch.randint(0, 256, (BATCH, size), generator=draw)
        flipped = z.clone()
        place = torch.randint(0, size, (BATCH,), generator=draw)
        flipped[torch.arange(BATCH), place] ^= 1 << torch.randint(0, 8, (BATCH,), generator=draw)
        halves = list(torch.cat([z, flipped]).float().chunk(2, dim=1))
        # Which round comes first is drawn, so that every coupling is trained in every place.
        first_round = int(torch.randint(0, len(generator.couplings), (1,), generator=draw))
        for turn in range(TRAINED_ROUNDS):
            k = (first_round + turn) % len(generator.couplings)
            first, second = rounded(weights[2 * k]), rounded(weights[2 * k + 1])
            change = surrogate(halves[turn % 2], generator, generator.couplings[k], first, second)
            halves[1 - turn % 2] = halves[1 - turn % 2] + change
        before, after = torch.cat(halves, dim=1).chunk(2)
        loss = torch.cos((after - before) * (2 * math.pi / 256)).mean()  # 1: nothing changed, 0: independent
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        for coupling, first, second in zip(generator.couplings, weights[::2], weights[1::2], strict=True):
            coupling.first.copy_(rounded(first))
            coupling.second.copy_(rounded(second))
    fifth = max(1, steps // 5)
    return [round(sum(part) / len(part), 4) for part in (losses[i : i + fifth] for i in range(0, steps, fifth))]


def bold(generator: FeistelGenerator) -> None:
    """Every weight at its greatest size."""
    for coupling in generator.couplings:
        for weight in (coupling.first, coupling.second):
            weight.copy_(torch.where(weight < 0, -MAGNITUDE, MAGNITUDE))


def with_rounds(generator: FeistelGenerator, rounds: int, shape: tuple[int, int, int]) -> FeistelGenerator:
    """The same weights with fewer rounds, on a latent of another size with as many channels."""
    made = FeistelGenerator(shape, generator.seed, FeistelConfig(rounds, generator.config.hidden))
    if made.grid.channels != generator.grid.channels:
        raise SystemExit(f"{shape} folds into {made.grid.channels} channels, not {generator.grid.channels}")
    for ours, theirs in zip(made.couplings, generator.couplings, strict=False):
        ours.first.copy_(theirs.first)
        ours.second.copy_(theirs.second)
    return made


def measured(generators: list[FeistelGenerator], shape: tuple[int, int, int], rounds: int) -> dict[str, object]:
    """One cell: over all seeds. passes: how many pass avalanche, a short noncyclic walk and uniformity."""
    bytes_, bits, passes = [], [], 0
    for number, generator in enumerate(generators):
        z = start(shape, number)
        made = with_rounds(generator, rounds, shape)
        report = avalanche(made, z, flips=FLIPS)
        bytes_.append(100 * report.byte_fraction)
        bits.append(100 * report.bit_fraction)
        sample = bytearray()
        while len(sample) < 1 << 16:
            z = made.next_latent(z)
            sample += z.numpy().tobytes()
        good = uniformity(bytes(sample)).p_value > 1e-6 and noncyclic(made, z, 16).ok
        passes += report.ok and good
    return {
        "bytes_percent": [round(min(bytes_), 3), round(sum(bytes_) / len(bytes_), 3), round(max(bytes_), 3)],
        "bits_percent": round(sum(bits) / len(bits), 3),
        "passes": passes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()

    def made(change: Callable[[FeistelGenerator, int], object]) -> list[FeistelGenerator]:
        found = []
        for number in range(options.seeds):
            generator = FeistelGenerator(TRAINED, bytes([number]) * 32, FeistelConfig(max(ROUNDS)))
            change(generator, number)
            found.append(generator)
        return found

    losses: list[list[float]] = []
    started = time.perf_counter()
    learned = made(lambda generator, number: losses.append(learn(generator, options.steps, number)))
    seconds = round((time.perf_counter() - started) / options.seeds, 1)
    kinds = {"seed": made(lambda g, n: None), "learned": learned, "bold": made(lambda g, n: bold(g))}
    table = {
        str(shape): {name: {r: measured(g, shape, r) for r in ROUNDS} for name, g in kinds.items()} for shape in SHAPES
    }
    pooled = {
        name: torch.cat([w.flatten() for g in gs for c in g.couplings for w in (c.first, c.second)])
        for name, gs in kinds.items()
    }
    sizes = {name: round(float(weights.abs().mean()), 2) for name, weights in pooled.items()}
    zeros = {name: round(100 * float((weights == 0).float().mean()), 2) for name, weights in pooled.items()}
    print(f"{'latent':>14} {'rounds':>6} " + " ".join(f"{name + ': bytes, bits, pass':>34}" for name in kinds))
    for shape in SHAPES:
        for r in ROUNDS:
            cells = [table[str(shape)][name][r] for name in kinds]
            texts = [f"{c['bytes_percent'][1]:.3f} %, {c['bits_percent']:.3f} %, {c['passes']}" for c in cells]
            print(f"{shape!s:>14} {r:>6} " + " ".join(f"{text:>34}" for text in texts))
    results = {"table": table, "losses": losses, "mean_weight": sizes, "zeros_percent": zeros}
    print(json.dumps(results | {"seconds_a_seed": seconds}))


if __name__ == "__main__":
    main()
