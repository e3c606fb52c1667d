"""Train the entropy model that every latent flow starts from, and write it to neuralcipher/data/latent_prior.bin.

    python benchmarks/fit_latent_prior.py VIDEO:START:FRAMES:WxH:QUALITY[,QUALITY...] ... [--steps 600] [--from-zero]

Each VIDEO (a file, or "noise") is coded as it is sealed; what the coder saw and what it coded becomes the training set.
Training goes on from the networks that ship; they came from bunny, bikes and carphone, from their 65th frame on.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.coding.bits import AdaptiveSymbols
from neuralcipher.coding.weights import load_parameters
from neuralcipher.flows.latent import encoding, model, network, residual, sizes
from neuralcipher.flows.latent.features import BANDS, columns_of
from neuralcipher.flows.latent.fitting import on_axes
from neuralcipher.flows.latent.transform import Colour, interleaved

OUTPUT = Path(__file__).parents[1] / "neuralcipher" / "data" / "latent_prior.bin"
NETWORK = OUTPUT.with_name("latent_network.bin")
INPUT_SCALE = 32
COUNT_TOTAL = 120
MOST = 400_000
RATE = 4e-3


class RecordingNetwork(model.IntegerNetwork):
    """Remembers the features it was asked about since `record` last emptied `seen`."""

    seen: list[np.ndarray]

    def logits(self, features):
        self.seen.append(features.transpose(1, 2, 0).astype(np.int8))  # (rows, n, features)
        return super().logits(features)


class RecordingSymbols(AdaptiveSymbols):
    """Counts everything, without forgetting."""

    def __init__(self, prior):
        super().__init__(prior)
        self.seen = np.zeros(prior.shape, dtype=np.int64)

    def learn(self):
        for coded in self._coded:
            self.seen += np.bincount(coded, minlength=self.seen.size).reshape(self.seen.shape)
        super().learn()


class Recorder:
    """The training set: features and outcomes of every network, counts of every table."""

    def __init__(self) -> None:
        self.skip, self.flags = [], [[] for _ in BANDS]
        self.levels = [[] for _ in BANDS]
        self.models = []
        self.pictures = []

    def new_model(self):
        made = model.EntropyModel()
        prior = made.prior
        made.prior = model.Prior(
            recording(prior.skip), tuple(map(recording, prior.flags)), tuple(map(recording, prior.levels)), prior.tables
        )
        made.fields, made.modes, made.quarters, made.splits = map(RecordingSymbols, prior.tables)
        self.models.append(made)
        return made

    def coder(self):
        recorder = self

        class RecordingCoder(residual.ResidualCoder):
            def _squares(self, around, source):
                seen = self._model.prior.skip.seen
                seen.clear()
                coded = super()._squares(around, source)
                odd = np.add.outer(np.arange(coded.shape[1]), np.arange(coded.shape[2])) & 1
                recorder.skip += [(x[0], coded[:, odd == parity].reshape(-1)) for parity, x in enumerate(seen)]
                return coded

            def _band(self, around, latents, band, blocks, source):
                networks = self._model.prior.flags[band], self._model.prior.levels[band]
                for net in networks:
                    net.seen.clear()
                super()._band(around, latents, band, blocks, source)
                if not source.counts or not len(blocks.place):
                    return
                found = latents[blocks.place[:, None], columns_of(band)]
                flags = found.any(axis=1)
                recorder.flags[band].append((networks[0].seen[0][0], flags.astype(np.int64)))
                if flags.any():  # the last that was asked is what was coded
                    recorder.levels[band].append((networks[1].seen[-1], np.abs(found[flags]).T))

        return RecordingCoder

    def counts(self):
        return [sum(getattr(made, name).seen for made in self.models) for name in TABLES]


TABLES = ("fields", "modes", "quarters", "splits")


def recording(net):
    made = RecordingNetwork(*dataclasses.astuple(net))
    object.__setattr__(made, "seen", [])
    return made


def read_clip(text: str) -> tuple[Tensor, list[int]]:
    path, start, frames, size, qualities = text.rsplit(":", 4)
    width, height = map(int, size.split("x"))
    if path == "noise":
        draw = torch.Generator().manual_seed(int(start))
        pictures = torch.randint(0, 256, (int(frames), 3, height, width), generator=draw).byte()
        return pictures, list(map(int, qualities.split(",")))
    pictures = []
    with av.open(path) as source:
        for index, frame in enumerate(source.decode(video=0)):
            if index >= int(start):
                scaled = frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()
                pictures.append(torch.from_numpy(scaled).permute(2, 0, 1))
            if len(pictures) == int(frames):
                break
    return torch.stack(pictures), list(map(int, qualities.split(",")))


def record(clips: list[str]) -> Recorder:
    """Code every clip at every quality and remember what happened."""
    recorder = Recorder()
    encoding.EntropyModel, encoding.ResidualCoder = recorder.new_model, recorder.coder()
    residual._AT_ONCE = 1 << 40  # so that a network is asked about all of a band at once
    for clip in clips:
        pictures, qualities = read_clip(clip)
        colour = Colour.fit(pictures.permute(0, 2, 3, 1).reshape(-1, 3)[::29].float() / 255)
        frames = on_axes(pictures, colour)
        encoder = encoding.SegmentEncoder(frames, pictures, torch.device("cpu"))
        for quality in qualities:
            attempt = encoder.encode(quality, lambda *_: None)
            psnr_db = -10 * math.log10(sum(attempt.error) / pictures.numel())
            recorder.pictures.append((attempt, frames.half(), quality))
            print(f"{clip} at {quality}: {attempt.size_bytes} bytes, {psnr_db:.2f} dB", flush=True)
    return recorder


class Trainable(nn.Module):
    """The float twin of `model.IntegerNetwork`."""

    def __init__(self, features: int, hidden: int, rows: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(features, hidden) * 0.15)
        self.first_bias = nn.Parameter(torch.zeros(rows, 1, hidden))
        self.second = nn.Parameter(torch.randn(hidden, outputs) * 0.15)
        self.second_bias = nn.Parameter(torch.zeros(rows, 1, outputs))

    def start_from(self, net: model.IntegerNetwork) -> None:
        parts = zip(self.parameters(), dataclasses.astuple(net), model.SCALES, strict=True)
        with torch.no_grad():
            for parameter, values, scale in parts:
                parameter.copy_(torch.from_numpy(values) / scale)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features / INPUT_SCALE @ self.first + self.first_bias) @ self.second + self.second_bias


def flag_bits(logits: Tensor, outcome: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits[..., 0], outcome.float(), reduction="none") / math.log(2)


def level_bits(logits: Tensor, size: Tensor) -> Tensor:
    """Bits of magnitudes (rows, n) under logits (rows, n, 3)."""
    zero, one, run = logits.unbind(-1)
    some, above = (size > 0).float(), (size > 1).float()
    bits = F.binary_cross_entropy_with_logits(zero, some, reduction="none")
    bits = bits + some * (math.log(2) + F.binary_cross_entropy_with_logits(one, above, reduction="none"))
    steps = (size - 2).clamp(0, sizes.LONGEST_RUN).float()
    stops = (size - 2 < sizes.LONGEST_RUN).float()
    return (bits + above * (steps * F.softplus(-run) + stops * F.softplus(run))) / math.log(2)


def train(network: Trainable, features: np.ndarray, outcome: np.ndarray, loss, steps: int) -> float:
    """Fit a network to features (rows, n, f) and outcomes (rows, n); returns the bits a symbol on held-out places."""
    x, y = torch.from_numpy(features), torch.from_numpy(outcome.astype(np.int64))
    rows, count = y.shape
    order = torch.randperm(count)
    held, used = order[: count // 10], order[count // 10 :]
    batch = max(64, 8192 // rows)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-5
        pick = used[torch.randint(len(used), (batch,))]
        bits = loss(network(x[:, pick].float()), y[:, pick]).mean()
        optimiser.zero_grad()
        torch.autograd.backward(bits)
        optimiser.step()
    with torch.no_grad():
        return loss(network(x[:, held].float()), y[:, held]).mean().item() if len(held) else 0.0


def integers(networks: list[Trainable]) -> list[np.ndarray]:
    parameters = [p for network in networks for p in network.parameters()]
    parts = zip(parameters, (scale for _, scale in model.network_shapes()), strict=True)
    return [np.clip(np.rint(p.detach().numpy() * s), -32767, 32767).astype("<i2") for p, s in parts]


def train_network(recorder: Recorder, repair: network.RepairNetwork, steps: int) -> network.RepairNetwork:
    """Fit the repairing network to all clips and qualities."""
    optimiser = torch.optim.Adam(repair.parameters(), lr=3e-3, betas=(0.9, 0.99))
    draw = torch.Generator().manual_seed(0)
    before = after = 0.0
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-5
        attempt, frames, quality = recorder.pictures[int(torch.randint(len(recorder.pictures), (1,), generator=draw))]
        index = torch.randint(len(frames), (6,), generator=draw)
        top, left = (
            2 * int(torch.randint(max(0, side - 80) // 2 + 1, (1,), generator=draw)) for side in frames.shape[2:]
        )
        window = (index, slice(None), slice(top, top + 80), slice(left, left + 80))
        decoded, rest, truth = (interleaved(x[window]) for x in (attempt.decoded, attempt.residual, frames))
        output = repair(decoded, rest, attempt.levels[index], torch.full((6,), quality))
        scale = F.mse_loss(decoded, truth)  # every clip and quality counts alike
        loss = F.mse_loss(output, truth) / scale
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        if step >= steps - 500:
            before, after = before + 1 / 500, after + loss.item() / 500
    print(f"repairing network: {-10 * math.log10(after):.3f} dB gained", flush=True)
    return repair


def joined(parts: list[tuple[np.ndarray, np.ndarray]], axis: int) -> tuple[np.ndarray, np.ndarray]:
    features = np.concatenate([f for f, _ in parts], axis=axis)
    outcome = np.concatenate([o for _, o in parts], axis=axis)
    if features.shape[axis] > MOST:
        keep = np.random.default_rng(0).permutation(features.shape[axis])[:MOST]
        features, outcome = np.take(features, keep, axis), np.take(outcome, keep, axis)
    return features, outcome


def prior_counts(seen: np.ndarray) -> np.ndarray:
    """Counts scaled to a small total, so that a video soon speaks for itself."""
    total = seen.sum(axis=1, keepdims=True)
    shrunk = seen * np.minimum(1, COUNT_TOTAL / np.maximum(1, total))
    return np.clip(np.rint(shrunk), 1, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--from-zero", action="store_true", help="ignore the shipped model")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.from_zero:
        size = sum(int(np.prod(shape)) for shape, _ in model.network_shapes())
        tables = np.full(sum(rows * columns for rows, columns in model.TABLES), 2, np.uint8)
        OUTPUT.write_bytes(np.zeros(size, "<i2").tobytes() + tables.tobytes())
        encoding._RATE_WEIGHT = 0.03
    recorder = record(arguments.clips)
    stored = model.stored_prior()
    tables = b"".join(prior_counts(seen).tobytes() for seen in recorder.counts())
    networks = []
    shapes = model.network_sizes()

    def trained(number, stored, features, outcome, loss):
        networks.append(Trainable(*shapes[number]))
        if not arguments.from_zero:
            networks[-1].start_from(stored)
        return train(networks[-1], features, outcome, loss, arguments.steps)

    features, outcome = joined(recorder.skip, 0)
    bits = trained(0, stored.skip, features[None], outcome[None], flag_bits)
    print(f"squares: {bits:.4f} bits each", flush=True)
    for band in range(len(BANDS)):
        features, outcome = joined(recorder.flags[band], 0)
        flag = trained(1 + 2 * band, stored.flags[band], features[None], outcome[None], flag_bits)
        features, outcome = joined(recorder.levels[band], 1)
        level = trained(2 + 2 * band, stored.levels[band], features, outcome, level_bits)
        print(f"band {band}: flags {flag:.4f}, levels {level:.4f} bits each", flush=True)
    OUTPUT.write_bytes(b"".join(part.tobytes() for part in integers(networks)) + tables)
    repair = network.RepairNetwork()
    if not arguments.from_zero:
        load_parameters(repair, network.shipped_weights())
    repair = train_network(recorder, repair, 10 * arguments.steps)
    weights = np.concatenate([p.detach().numpy().astype("<f2").reshape(-1) for p in repair.parameters()])
    NETWORK.write_bytes(weights.tobytes())


if __name__ == "__main__":
    main()
