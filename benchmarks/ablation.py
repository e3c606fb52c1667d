"""What is each element of the latent flow worth? Code clips once with each switched off.

    python benchmarks/ablation.py CLIP[:WxH[:FRAMES]] ... [--quality 58] --out FOLDER

One attempt each, no training. The table gives bytes at equal PSNR, in percent of the flow as it is: the bytes of an
attempt times (error / error of the flow)^(1 / 0.97), the exchange along the flow's own curve.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import numpy as np
import torch
from clips import load_frames, parse_clip
from torch import Tensor

from neuralcipher.flows.latent import encoding, features, history, model, motion, rate, residual, search, synthesis
from neuralcipher.flows.latent.encoding import Attempt, SegmentEncoder, Tuning
from neuralcipher.flows.latent.fitting import on_axes
from neuralcipher.flows.latent.network import repair_network, shipped_weights
from neuralcipher.flows.latent.training import MIX, RepairInputs, errors_with
from neuralcipher.flows.latent.transform import Colour
from neuralcipher.flows.latent.warp import BLOCK, Reference

Switch = Callable[[], contextlib.AbstractContextManager[object]]


def plain_blocks(references: Sequence[Reference], motion: Tensor, halves: Tensor) -> Tensor:
    """Prediction without overlap."""
    _, _, rows, columns = motion.shape
    corner_y, corner_x = torch.arange(rows)[:, None] * 4 * BLOCK, torch.arange(columns) * 4 * BLOCK
    tiles = sum(
        reference.patches((corner_y + y).reshape(-1), (corner_x + x).reshape(-1), BLOCK) * weight.reshape(-1, 1) / 4
        for reference, (y, x), weight in zip(references, motion, halves, strict=True)
    )
    tiles = tiles.reshape(rows, columns, BLOCK, -1).transpose(1, 2)
    return tiles.reshape(rows * BLOCK, columns * BLOCK, -1)


def no_networks() -> model.Prior:
    """The entropy model without its networks: every place looks alike."""
    prior = model.stored_prior()

    def blank(network: model.IntegerNetwork) -> model.IntegerNetwork:
        return dataclasses.replace(network, first=network.first * 0, second=network.second * 0)

    levels, flags = tuple(map(blank, prior.levels)), tuple(map(blank, prior.flags))
    return dataclasses.replace(prior, skip=blank(prior.skip), flags=flags, levels=levels)


def nearest(
    target: residual.FloatArray, logits: residual.IntArray, rate_weight: float, importance: residual.FloatArray
) -> tuple[object, object]:
    """Rounding with a dead zone instead of choosing for rate and distortion."""
    size = np.abs(target)
    levels = np.sign(target) * np.floor(size + 0.35)
    return levels.astype(np.int64), ((target - levels) ** 2).astype(np.float32)


@contextlib.contextmanager
def together(*patches: contextlib.AbstractContextManager[object]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def one_pass(self: features.Neighbourhood, mask: features.BoolArray) -> list[features.Blocks]:
    place = np.flatnonzero(mask)
    return [features.Blocks(place, self._flat[place])]


def unsplit(self: search.MotionSearch, *arguments: object, **named: object) -> motion.Motion:
    found = FIND(self, *arguments, **named)
    whole = [np.repeat(np.repeat(x[..., ::2, ::2], 2, -2), 2, -1) for x in (found.mode, found.vectors)]
    return motion.Motion(whole[0], whole[1], found.split * 0)


FIND = search.MotionSearch.find
SWITCHES: dict[str, Switch] = {
    "overlapping windows": lambda: patch.object(synthesis, "predict", plain_blocks),
    "splitting squares": lambda: patch.object(search.MotionSearch, "find", unsplit),
    "optical flow as a start": lambda: patch.object(
        encoding.OpticalFlow,
        "blocks",
        lambda self, a, b, rows, columns: torch.zeros(2, rows, columns, dtype=torch.int64),
    ),
    "motion expected from references": lambda: patch.object(
        history, "expected", lambda frame, known, size: np.zeros((2, 2, *size), dtype=np.int64)
    ),
    "logarithmic worth of a prediction": lambda: patch.object(search, "_TURN", 1e9),
    "networks of the entropy model": lambda: patch.object(
        encoding, "EntropyModel", lambda: model.EntropyModel(no_networks())
    ),
    "neighbours on a chequerboard": lambda: patch.object(features.Neighbourhood, "passes", one_pass),
    "rate-distortion choice of integers": lambda: patch.object(residual, "_cheapest", nearest),
    "steps that grow with the level": lambda: patch.object(synthesis, "_LEVEL_OFFSETS", (0,) * 6),
}
TUNINGS = {
    "rate weights that grow with the level": Tuning(None, 0.0),
    "frames between anchors (groups of one)": Tuning(1),
}


def attempt(pictures: Tensor, quality: int, tuning: Tuning | None = None) -> tuple[Attempt, RepairInputs]:
    pixels = pictures[::4].permute(0, 2, 3, 1).reshape(-1, 3)[::7].float() / 255
    height, width = pictures.shape[2:]
    truth = on_axes(pictures, Colour.fit(pixels))
    made = SegmentEncoder(truth, pictures, torch.device("cpu")).encode(quality, lambda *_: None, tuning)
    return made, rate.repair_inputs(made, truth, (height, width), quality)


def equal_bytes(made: Attempt, error: float, base_error: float) -> float:
    return made.size_bytes * (error / base_error) ** (1 / MIX)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--quality", type=int, default=58)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table: dict[str, dict[str, float]] = {}
    for text in arguments.clips:
        clip = parse_clip(text)
        pictures = torch.from_numpy(np.ascontiguousarray(load_frames(clip))).permute(0, 3, 1, 2).contiguous()
        base, inputs = attempt(pictures, arguments.quality)
        base_error = math.fsum(base.error)
        cells = table.setdefault(text, {"bytes": base.size_bytes})
        network = repair_network(shipped_weights(), torch.device("cpu"))
        plain, repaired = (sum(errors_with(n, inputs, torch.device("cpu"))) for n in (None, network))
        cells["repair by the network as it ships"] = 100 * (plain / repaired) ** (1 / MIX)
        for name, switch in SWITCHES.items():
            with switch():
                made, _ = attempt(pictures, arguments.quality)
            cells[name] = 100 * equal_bytes(made, math.fsum(made.error), base_error) / base.size_bytes
            print(f"{text}: without {name}: {cells[name]:.1f} %", flush=True)
        for name, tuning in TUNINGS.items():
            made, _ = attempt(pictures, arguments.quality, tuning)
            cells[name] = 100 * equal_bytes(made, math.fsum(made.error), base_error) / base.size_bytes
            print(f"{text}: without {name}: {cells[name]:.1f} %", flush=True)
        (arguments.out / "ablation.json").write_text(json.dumps(table, indent=1))
    names = list(next(iter(table.values())))
    print("| without | " + " | ".join(table) + " |\n|---|" + "---|" * len(table))
    for name in names:
        print(f"| {name} | " + " | ".join(f"{cells[name]:.1f}" for cells in table.values()) + " |")


if __name__ == "__main__":
    main()
