"""How fast is g, and how many rounds does feistel need?

    python benchmarks/keystream.py [--runs 5]

MB/s of next_latent at several latent shapes (best and median of the runs), beside one bare ChaCha20 call on as many
bytes; then, by number of rounds, the share of bytes that change when one bit is flipped (ideal 255/256 = 99.61 %).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from neuralcipher.generators.chacha20 import ChaCha20Generator
from neuralcipher.generators.checks import avalanche
from neuralcipher.generators.feistel import FeistelConfig, FeistelGenerator

SHAPES = ((8, 32, 16), (16, 64, 48), (3, 180, 320))
ROUNDS = (1, 2, 3, 4, 6, 8)
SEED = bytes(32)


def start(shape: tuple[int, int, int]) -> torch.Tensor:
    """A start latent."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def speeds(shape: tuple[int, int, int], runs: int) -> dict[str, object]:
    """One row."""
    z = start(shape)
    steps = max(10, 4_000_000 // z.numel())
    row: dict[str, object] = {"shape": list(shape)}
    generators = {
        "feistel": FeistelGenerator(shape, SEED),
        "chacha20": ChaCha20Generator.create(shape, seed=SEED, z0=z, progress=lambda fraction: None),
    }
    for name, generator in generators.items():
        found = []
        for _ in range(runs):
            state, started = z, time.perf_counter()
            for _ in range(steps):
                state = generator.next_latent(state)
            found.append(steps * z.numel() / (time.perf_counter() - started) / 1e6)
        row[f"{name}_mb_s"] = {"best": round(max(found), 1), "median": round(statistics.median(found), 1)}
    bare = bytes(steps * z.numel())
    started = time.perf_counter()
    Cipher(algorithms.ChaCha20(bytes(32), bytes(16)), None).encryptor().update(bare)
    row["bare_chacha20_mb_s"] = round(len(bare) / (time.perf_counter() - started) / 1e6)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    diffusion = {
        f"{shape}": {
            rounds: round(
                100 * avalanche(FeistelGenerator(shape, SEED, FeistelConfig(rounds)), start(shape)).byte_fraction, 2
            )
            for rounds in ROUNDS
        }
        for shape in SHAPES
    }
    print(json.dumps({"speed": [speeds(shape, runs) for shape in SHAPES], "changed_percent": diffusion}, indent=2))


if __name__ == "__main__":
    main()
