"""Make neuralcipher/data/latent_prior.bin: the counts that the latent flow's entropy model starts from.

    python benchmarks/fit_latent_prior.py VIDEO:WIDTHxHEIGHT [...] [--rounds 3] [--output FILE]

Counts levels and flags over the first 64 frames of each video at several step sizes, makes them symmetric in sign,
smooths them, and stores each table as integers with a sum of about 2**14.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from neuralcipher.coding.entropy import AdaptiveTables
from neuralcipher.flows.latent import coder as latent_coder
from neuralcipher.flows.latent.context import ALPHABET, FIRST_CONTEXTS, FLAG_CONTEXTS, LEVEL_LIMIT, SYMBOL_CONTEXTS
from neuralcipher.flows.latent.transform import Colour, analyse, to_numpy
from neuralcipher.video.reading import parse_size, probe, read_frames

TOTAL = 1 << 14
STEPS = (0.1, 0.16, 0.25, 0.35)
NEARS = 5
DEFAULT = Path("neuralcipher/data/latent_prior.bin")


def smooth(levels: np.ndarray, flags: np.ndarray) -> bytes:
    """Turn raw counts into the stored prior."""
    first = levels[:FIRST_CONTEXTS] + levels[:FIRST_CONTEXTS, ::-1]
    inter = levels[FIRST_CONTEXTS:-1].reshape(NEARS, -1, ALPHABET)
    inter = inter + inter[::-1, :, ::-1]
    dc = levels[-1] + levels[-1, ::-1]
    symmetric = np.concatenate([first, inter.reshape(-1, ALPHABET), dc[None]])
    centres = np.zeros(SYMBOL_CONTEXTS)
    centres[FIRST_CONTEXTS:-1] = np.repeat(np.arange(NEARS) - NEARS // 2, inter.shape[1])
    offsets = np.arange(ALPHABET) - LEVEL_LIMIT - 1
    guess = 0.5 ** np.abs(offsets[None] - centres[:, None])
    guess[-1] = 0.9 ** np.abs(offsets)
    guess /= guess.sum(axis=1, keepdims=True)
    mixed = symmetric + 8 * guess
    mixed /= mixed.sum(axis=1, keepdims=True)
    mixed = 0.9998 * mixed + 0.0002 / ALPHABET
    flag_share = (flags + 2.0) / (flags + 2.0).sum(axis=1, keepdims=True)
    stored = [np.maximum(1, np.rint(table * TOTAL)).astype("<u2").tobytes() for table in (mixed, flag_share)]
    return b"".join(stored)


def count(clips: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Levels and flags as the current prior codes them."""
    seen = {ALPHABET: np.zeros((SYMBOL_CONTEXTS, ALPHABET)), 2: np.zeros((FLAG_CONTEXTS, 2))}
    update = AdaptiveTables.update

    def watch(self: AdaptiveTables, contexts: np.ndarray, symbols: np.ndarray) -> None:
        table = seen[self.counts.shape[1]]
        np.add.at(table, (contexts, symbols), 1)
        update(self, contexts, symbols)

    AdaptiveTables.update = watch  # type: ignore[method-assign]
    for frames in clips:
        colour = Colour.fit(frames[::8].permute(0, 2, 3, 1).reshape(-1, 3).float() / 255)
        for step in STEPS:
            encoder = None
            for frame in frames:
                target = to_numpy(analyse(frame[None], colour)[0] / step)
                encoder = encoder or latent_coder.LatentCoder(*target.shape[1:])
                encoder.encode(target, 0.13)
    AdaptiveTables.update = update  # type: ignore[method-assign]
    return seen[ALPHABET], seen[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=DEFAULT)
    options = parser.parse_args()
    clips = []
    for item in options.clips:
        path, _, size = item.rpartition(":")
        probed = probe(path, scale=parse_size(size), max_frames=64)
        clips.append(torch.stack([torch.from_numpy(frame) for frame in read_frames(path, probed)]).permute(0, 3, 1, 2))
    if not options.output.exists():
        options.output.write_bytes(smooth(np.zeros((SYMBOL_CONTEXTS, ALPHABET)), np.zeros((FLAG_CONTEXTS, 2))))
    for number in range(options.rounds):
        latent_coder.stored_prior.cache_clear()
        options.output.write_bytes(smooth(*count(clips)))
        print(f"round {number + 1} of {options.rounds}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
