"""What does a wrong key see of a `bare` bundle? Palette, texture and correlation with the truth, for each flow.

    python benchmarks/leaks.py [--budget 20] [--frames 16] [--imposters 16] [--cuts 2] [--flows latent autoencoder]
        [-O latent.quality=50] [--json FILE] VIDEO[:WxH] [...]

Every video is cut at `--cuts` places spread over its length, each cut is sealed with a key of its own, and looked at
with three kinds of wrong keys: unrelated ones, the right z_0 with one bit flipped, and the right key with one bit
flipped. All cuts need one size (128x96 unless told). Prints Markdown tables, then one JSON object. Two controls run
along: a planted mean frame, which must be caught, and noise that no video had a part in, which must not be; else
the run is INVALID. `budget` is seconds of fitting per cut and flow.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from neuralcipher.process import prepare

prepare()  # before torch is loaded

import numpy as np
import torch
from numpy.typing import NDArray

from neuralcipher.attacks.pairs.leaks import LEVEL, MEASURES, PooledReport, compare_bundles, compare_keys
from neuralcipher.attacks.ranks import holm
from neuralcipher.flows import base as flows
from neuralcipher.flows.device import resolve_device
from neuralcipher.generators import base as generators
from neuralcipher.generators.base import Keystream, Shape
from neuralcipher.keys import Key, segment_seed, start_latent
from neuralcipher.video.quality import psnr_db
from neuralcipher.video.reading import parse_size, probe, read_frames

Video = NDArray[np.uint8]  # (N, 3, H, W)
SALT = bytes(32)
KINDS = ("unrelated keys", "one bit of z0", "one bit of the key")


def load(item: str, size: str, frames: int, cuts: int) -> Iterator[tuple[str, Video]]:
    """The cuts of one argument, named after the file and the first frame."""
    path, _, given = item.rpartition(":")
    if not path:
        path, given = item, size
    pictures = list(read_frames(path, probe(path, scale=parse_size(given))))
    if len(pictures) < frames * cuts:
        raise SystemExit(f"{path} has {len(pictures)} frames, too few for {cuts} cuts of {frames}")
    for cut in range(cuts):
        first = (len(pictures) - frames) * cut // max(1, cuts - 1)
        clip = np.stack(pictures[first : first + frames]).transpose(0, 3, 1, 2)
        yield f"{Path(path).stem} {first}", np.ascontiguousarray(clip)


class Bench:
    """Seals cuts with one flow and shows them to any key."""

    def __init__(
        self, flow: str, generator: str, options: dict[str, int], budget_s: float, device: torch.device
    ) -> None:
        self._kind = flows.find(flow)
        self._flow = self._kind(self._kind.config_type(**options))
        self._generator = generators.find(generator)
        self._context = flows.FitContext(budget_s, 0, device, lambda report: None)
        self._made: dict[tuple[str, Shape], generators.Generator] = {}

    def seal(self, name: str, video: Video) -> bytes:
        """Fit the flow with the key of this name."""
        return self._flow.fit(
            torch.from_numpy(video), lambda shape: self._keystream(name, z0_of(key_of(name), shape)), self._context
        )

    def show(self, name: str, section: bytes, kind: str, number: int) -> Video:
        """What a wrong key of a kind (or the right one, "right") sees of the section of `name`."""
        shape, key = self._kind.latent_shape(section), key_of(name)
        if kind == "unrelated keys":
            key = key_of(f"{name}, imposter {number}")
        elif kind == "one bit of the key":
            key = Key(flip(key.reveal(), number))
        z0 = z0_of(key, shape)
        if kind == "one bit of z0":
            z0.reshape(-1)[number * 7919 % z0.size] ^= 1 << number % 8
        stream = self._keystream(name, z0)
        return torch.stack(list(self._kind.render(section, stream, self._context.device))).numpy()

    def _keystream(self, name: str, z0: Video) -> Keystream:
        """The generator is part of the bundle: made once, at sealing, with the right z_0."""
        shape = (z0.shape[0], z0.shape[1], z0.shape[2])
        start = torch.from_numpy(z0).to(self._context.device)
        if (name, shape) not in self._made:
            made = self._generator.create(shape, seed=digest(name), z0=start, progress=lambda fraction: None)
            self._made[name, shape] = made.to(self._context.device)
        return Keystream(self._made[name, shape], start)


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def key_of(name: str) -> Key:
    return Key(digest(f"key of {name}"))


def z0_of(key: Key, shape: Shape) -> Video:
    return start_latent(segment_seed(key, SALT, 0), shape)


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def report_of(report: PooledReport, names: Sequence[str]) -> dict[str, Any]:
    """A report as JSON: all videos together, then each; `found` at the suite's level by Holm, over all videos."""
    every = [(name, leak) for name, video in zip(names, report.videos, strict=True) for leak in video.leaks]
    adjusted = holm([leak.p_value for _, leak in every])
    return {
        "found": report.found(),
        "found_in_one_video": [f"{name}: {x.name}" for (name, x), p in zip(every, adjusted, strict=True) if p <= LEVEL],
        "pooled": {leak.name: dataclasses.asdict(leak) for leak in report.leaks},
        "videos": {
            name: {leak.name: dataclasses.asdict(leak) for leak in video.leaks}
            for name, video in zip(names, report.videos, strict=True)
        },
    }


def controls(videos: dict[str, Video], count: int) -> dict[str, bool]:
    """Whether a planted mean frame is caught by every measure of colour and place, and unrelated noise by none."""
    draw = np.random.default_rng(0)

    def noisy(mean: NDArray[np.float64], sd: float, shape: tuple[int, ...]) -> Video:
        return np.clip(mean + draw.normal(0, sd, shape), 0, 255).astype(np.uint8)

    clips = list(videos.values())
    planted = [[noisy(v.mean(axis=0), 40, v.shape) for _ in range(count)] for v in clips]
    foreign = [
        [noisy(draw.uniform(0, 255, (1, 3, 1, 1)), draw.uniform(0, 60), v.shape) for _ in range(count)] for v in clips
    ]
    return {
        "planted_mean_frame_caught": {"palette", "correlation", "mean frame"}
        <= set(compare_bundles(clips, planted).found()),
        "unrelated_noise_passed": not compare_bundles(clips, foreign).found(),
    }


def measure(bench: Bench, videos: dict[str, Video], count: int) -> dict[str, Any]:
    """Everything about one flow."""
    sections = {name: bench.seal(name, video) for name, video in videos.items()}
    clips, names = list(videos.values()), list(videos)
    seen = {
        kind: [[bench.show(name, section, kind, j) for j in range(count)] for name, section in sections.items()]
        for kind in KINDS
    }
    right = {name: bench.show(name, section, "right", 0) for name, section in sections.items()}
    row: dict[str, Any] = {
        "bytes": {name: len(section) for name, section in sections.items()},
        "psnr_db": {
            name: round(psnr_db(video.transpose(0, 2, 3, 1), right[name].transpose(0, 2, 3, 1)), 2)
            for name, video in videos.items()
        },
        "right_key": {
            measure_name: statistics.median(
                m.compare(m.feature(right[name]), m.feature(video)) for name, video in videos.items()
            )
            for measure_name, m in MEASURES.items()
        },
        KINDS[0]: report_of(compare_bundles(clips, seen[KINDS[0]]), names),
    }
    for kind in KINDS[1:]:
        row[kind] = report_of(compare_keys(clips, seen[kind], seen[KINDS[0]]), names)
    return row


def tables(flow: str, row: dict[str, Any]) -> str:
    """Markdown: each measure over all videos and kinds of keys, then each video with unrelated keys."""
    lines = [
        f"### {flow}: {statistics.median(row['bytes'].values()):,.0f} bytes, "
        f"{statistics.median(row['psnr_db'].values()):.2f} dB with the right key (medians over the cuts)",
        "",
        "| measure | right key | unrelated keys: to truth | to other videos | strangers to truth "
        "| preference, p | one bit of z0: preference, p | one bit of the key: preference, p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    videos = row[KINDS[0]]["videos"]
    for name, of in MEASURES.items():
        leaks = [leaks[name] for leaks in videos.values()]
        pooled = [row[keys]["pooled"][name] for keys in KINDS]
        lines.append(
            f"| {name}, {of.unit} | {row['right_key'][name]:.3f} "
            f"| {statistics.median(leak['to_truth'] for leak in leaks):.3f} "
            f"| {statistics.median(value for leak in leaks for value in leak['to_others']):.3f} "
            f"| {statistics.median(leak['strangers'] for leak in leaks):.3f} | "
            + " | ".join(f"{leak['preference']:.3f}, {leak['p_value']:.2g}" for leak in pooled)
            + " |"
        )
    lines += ["", "| cut | bytes | PSNR | " + " | ".join(f"{name}: preference, p" for name in MEASURES) + " |"]
    lines.append("|" + "---|" * (3 + len(MEASURES)))
    for name, each in videos.items():
        cells = [f"{each[m]['preference']:.2f}, {each[m]['p_value']:.2g}" for m in MEASURES]
        lines.append(f"| {name} | {row['bytes'][name]:,} | {row['psnr_db'][name]} | " + " | ".join(cells) + " |")
    lines.append("")
    for kind in KINDS:
        alone = [name.rpartition(": ")[2] for name in row[kind]["found_in_one_video"]]
        single = ", ".join(f"{name} in {alone.count(name)} of {len(videos)}" for name in MEASURES if name in alone)
        together = ", ".join(row[kind]["found"])
        lines.append(
            f"- {kind}, at {LEVEL}: all cuts together {together or 'nothing'}; single cuts {single or 'nothing'}"
        )
    return "\n".join(lines) + "\n"


def parse_option(text: str) -> tuple[str, str, int]:
    """FLOW.NAME=NUMBER"""
    name, _, value = text.partition("=")
    flow, _, option = name.partition(".")
    return flow, option, int(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--budget", type=float, default=20)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--imposters", type=int, default=16)
    parser.add_argument("--cuts", type=int, default=2)
    parser.add_argument("--size", default="128x96")
    parser.add_argument("--flows", nargs="+", default=["latent", "autoencoder"])
    parser.add_argument("--generator", default="feistel")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-O", dest="options", action="append", type=parse_option, default=[])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    videos = dict(
        cut for item in arguments.videos for cut in load(item, arguments.size, arguments.frames, arguments.cuts)
    )
    if len(videos) < 2 or len({video.shape for video in videos.values()}) > 1:
        parser.error("two cuts or more of one size are needed")
    settings = {name: getattr(arguments, name) for name in ("budget", "frames", "imposters", "generator")}
    result: dict[str, Any] = {"settings": settings, "controls": controls(videos, arguments.imposters), "flows": {}}
    for flow in arguments.flows:
        options = {name: value for of, name, value in arguments.options if of == flow}
        bench = Bench(flow, arguments.generator, options, arguments.budget, device)
        result["flows"][flow] = row = measure(bench, videos, arguments.imposters)
        print(tables(flow, row), flush=True)
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    if not all(result["controls"].values()):
        print("INVALID: a control failed", file=sys.stderr)
        raise SystemExit(3)


if __name__ == "__main__":
    main()
