"""What papers.py measures with: clips as the papers cut them, fits counted in processor seconds, rows and sheets."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clips import Frames, Picture, load_frames, parse_clip
from PIL import Image
from torch import Tensor

import neuralcipher
from neuralcipher.attacks.subjects import z0_of
from neuralcipher.cli.sheets import contact_sheet
from neuralcipher.flows import base as flows
from neuralcipher.flows.base import FitContext, FitProgress
from neuralcipher.flows.pictures import without_colour
from neuralcipher.flows.recurrent.recall import recall
from neuralcipher.flows.recurrent.section import RecurrentSection
from neuralcipher.generators.base import Keystream, Shape
from neuralcipher.generators.chacha20 import ChaCha20Generator
from neuralcipher.pipeline.comparing import _at_psnr
from neuralcipher.video import classical
from neuralcipher.video.quality import compare

CPU = torch.device("cpu")
KEY = bytes(range(32))
CARRIED = "carried clip"
_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601
_SHEET_SIDE = 107  # pixels that a picture of a sheet is wide at most
_SHEET_COLOURS = 48
DAVIS = {"breakdance": "breakdance", "parkour": "parkour"}
KTH = {"handclapping": "person01_handclapping_d1_uncomp.avi", "boxing": "person01_boxing_d2_uncomp.mp4"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. figure: or claim. seconds: of the processor. epochs: how often every frame was seen."""

    figure: str
    what: str
    paper: str
    ours: str
    seconds: float
    steps: int = 0
    epochs: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted flow and what it shows. stored: frames at the start that are kept as pictures, and measured nowhere.

    epochs: of the first network. curve: (step, PSNR of the training loss). seconds: of the processor.
    """

    section: bytes
    frames: Frames
    shown: Frames
    steps: int
    seconds: float
    epochs: float
    parameters: int
    stored: int
    curve: tuple[tuple[int, float], ...]

    def summary(self) -> dict[str, Any]:
        """Plain numbers for the JSON file."""
        truth = self.frames[self.stored :]
        quality = compare(truth, self.shown[self.stored :])
        mean = compare(truth, [np.rint(np.mean(self.frames, axis=0)).astype(np.uint8)] * len(truth))
        raw = raw_bytes(self.frames)
        return {
            "psnr_db": round(quality.psnr_db, 2),
            "similarity": round(quality.ms_ssim, 4),
            "window": quality.window,
            "ssim": round(quality.ssim, 4),
            "worst_db": min(psnr_by_frame(truth, self.shown[self.stored :])),
            "mean_frame_db": round(mean.psnr_db, 2),
            "mean_frame_similarity": round(mean.ms_ssim, 4),
            "bytes": len(self.section),
            "raw_bytes": raw,
            "ratio": round(raw / len(self.section), 2),
            "parameters": self.parameters,
            "curve": [[step, round(value, 2)] for step, value in self.curve],
        }


@dataclass(slots=True)
class Bench:
    """Paths, and how much of everything. budget: processor seconds of a usual fit. steps: of every fit, instead."""

    davis: Path
    kth: Path
    out: Path
    budget: float
    steps: int | None
    frames: int
    wide: bool

    def clip(self, name: str, size: tuple[int, int], count: int | None = None) -> Frames:
        """The first frames of a clip; KTH in grey, as the paper has it."""
        if name == CARRIED:
            return load_frames(parse_clip(f"{neuralcipher.demo_clip()}:{size[0]}x{size[1]}:{count or self.frames}"))
        source = self.davis / DAVIS[name] if name in DAVIS else self.kth / KTH[name]
        count = self.frames if count is None else count
        frames = load_frames(parse_clip(f"{source}:{size[0]}x{size[1]}:{count}"))
        return frames if name in DAVIS else [grey(frame) for frame in frames]

    def filters(self, of_paper: int) -> int:
        """The paper's number of filters, or with small budgets at most 48."""
        return of_paper if self.wide else min(of_paper, 32 if of_paper > 48 else of_paper)

    def fit(
        self,
        flow: str,
        frames: Frames,
        share: float = 1.0,
        *,
        steps: int | None = None,
        timed: bool = False,
        keystream: Callable[[Shape], Keystream] | None = None,
        **options: int,
    ) -> Fitted:
        """Fit a flow for `share` of the budget, in steps that are worth so many processor seconds.

        timed: by the clock instead, which gives every network the same seconds and not the same steps.
        """
        video = to_tensor(frames)
        make = keystream or plain_keystream
        steps = steps or self.steps
        timed = timed and steps is None
        if steps is None and not timed:
            steps = affordable(flow, video, make, options, share * self.budget)
        curve: list[tuple[int, float]] = []
        made_by: list[int] = []  # steps of each network

        def progress(report: FitProgress) -> None:
            if report.step == 1:
                made_by.append(1)
            made_by[-1] = report.step
            if report.step == 1 or report.step % max(10, (steps or 1000) // 12) < 10:
                curve.append((report.step, report.psnr_db))

        kind = flows.find(flow)
        started = time.process_time()
        section = kind(kind.config_type(steps=steps, **options)).fit(
            video, make, FitContext(share * self.budget if timed else 0.0, 0, CPU, progress)
        )
        seconds = time.process_time() - started
        stream = make(kind.latent_shape(section))
        shown = [frame.permute(1, 2, 0).numpy() for frame in kind.render(section, stream, CPU)]
        seen = {"recurrent": 8, "mlp": 8, "lstm": len(frames), "autoencoder": 1}[flow]
        networks = 1 + options.get("stages", 0) if flow == "recurrent" else options.get("stages", 1)
        each = made_by[0] if timed else steps / networks
        steps = sum(made_by) if steps is None else steps
        epochs = each * options.get("batch", seen) / len(frames)
        stored = {"recurrent": options.get("dilation", 1), "lstm": options.get("past", 2)}.get(flow, 0)
        return Fitted(section, frames, shown, steps, seconds, epochs, kind.parameters(section), stored, tuple(curve))

    def sheet(self, name: str, rows: Sequence[tuple[str, Sequence[Picture]]]) -> None:
        """Rows of pictures as a small PNG."""
        path = self.out / f"{name}.png"
        small = [(label, [_small(picture) for picture in pictures]) for label, pictures in rows]
        image = contact_sheet(small).quantize(_SHEET_COLOURS, dither=Image.Dither.NONE)
        image.save(path, optimize=True)


def affordable(
    flow: str, video: Tensor, make: Callable[[Shape], Keystream], options: dict[str, int], seconds: float
) -> int:
    """Steps worth so many processor seconds, from the time of a few."""
    kind = flows.find(flow)
    networks = 1 + options.get("stages", 0) if flow == "recurrent" else options.get("stages", 1)
    spent = []
    for each in (1, 2, 6):  # the first warms up
        started = time.process_time()
        config = kind.config_type(**{**options, "steps": each * networks})
        kind(config).fit(video, make, FitContext(0.0, 0, CPU, lambda report: None))
        spent.append(time.process_time() - started)
    of_one = max(1e-4, (spent[2] - spent[1]) / (4 * networks))
    return networks * max(1, round(seconds / of_one / networks))


def base_frames(section: bytes, count: int) -> Frames:
    """What f alone recalls, before repair and beyond the end if `count` is larger than the video."""
    parsed = RecurrentSection.parse(section)
    network = parsed.networks()[0]

    def inject(number: int, shown: Tensor | None) -> Tensor | None:
        return torch.stack([p.decode() for p in parsed.anchors[0]]) if number == 0 else None

    video = parsed.header.video
    shown = recall(network, inject, parsed.header.dilation, CPU, 0, count)
    return [
        frame[:, : video.height, : video.width].expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        for frame, _ in shown
    ]


def grey(frame: Picture) -> Picture:
    """Luma in all three channels."""
    luma = np.rint(frame @ _LUMA).astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=2)


def plain_keystream(shape: Shape) -> Keystream:
    """Of the generator that costs least."""
    return Keystream(ChaCha20Generator(shape, bytes(32)), z0_of(KEY, shape))


def to_tensor(frames: Frames) -> Tensor:
    """(N, 3, H, W) uint8."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).contiguous()


def raw_bytes(frames: Frames) -> int:
    """Of grey frames one channel counts."""
    return without_colour(to_tensor(frames)).numel()


def psnr_by_frame(frames: Frames, shown: Frames) -> list[float]:
    return [round(compare([a], [b], similarity=False).psnr_db, 2) for a, b in zip(frames, shown, strict=True)]


def similarity_by_frame(frames: Frames, shown: Frames) -> list[float]:
    return [round(compare([a], [b]).ms_ssim, 4) for a, b in zip(frames, shown, strict=True)]


def three(count: int) -> list[int]:
    """The numbers of three frames: early, in the middle, last; never the stored ones if it can be."""
    return sorted({min(2, count - 1), count // 2, count - 1})


def classical_bytes(frames: Frames, aim_db: float) -> dict[str, dict[str, float]]:
    """What x264 and x265 need for the same PSNR on the same frames."""
    found = {}
    for encoder in classical.encoders():
        if encoder.name in ("x264 medium", "x265 medium"):
            crf, coded = _at_psnr(encoder, frames, aim_db)
            quality = compare(frames, coded.shown)
            found[encoder.name] = {
                "crf": crf,
                "bytes": coded.size_bytes,
                "psnr_db": round(quality.psnr_db, 2),
                "similarity": round(quality.ms_ssim, 4),
            }
    return found


def hardware() -> str:
    """The processor, as the table names it."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"1 core, {model}"


def write(rows: dict[str, list[Row]], out: Path) -> None:
    """papers.json and papers.md."""
    where = hardware()
    plain = {name: [asdict(row) for row in group] for name, group in rows.items()}
    (out / "papers.json").write_text(json.dumps({"hardware": where, "rows": plain}, indent=1) + "\n")
    lines = ["| figure | what | paper | ours | seconds | hardware |", "|---|---|---|---|---|---|"]
    for row in (row for group in rows.values() for row in group):
        spent = f"{row.seconds:.0f}" + (f" ({row.steps} steps, {row.epochs:.0f} epochs)" if row.steps else "")
        lines.append(f"| {row.figure} | {row.what} | {row.paper} | {row.ours} | {spent} | {where} |")
    (out / "papers.md").write_text("\n".join(lines) + "\n")


def read(out: Path) -> dict[str, list[Row]]:
    """What an earlier run wrote."""
    path = out / "papers.json"
    if not path.is_file():
        return {}
    stored = json.loads(path.read_text())["rows"]
    return {name: [Row(**row) for row in group] for name, group in stored.items()}


def _small(picture: Picture) -> Picture:
    height, width, _ = picture.shape
    if width <= _SHEET_SIDE:
        return picture
    size = _SHEET_SIDE, max(1, round(height * _SHEET_SIDE / width))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
