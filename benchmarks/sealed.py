"""Our side of a comparison: frames sealed into a bundle on disk, and opened from it again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from clips import Frames

import neuralcipher
from neuralcipher.container import BundleReader
from neuralcipher.pipeline.segments import render_segment
from neuralcipher.pipeline.stored import stored_segments, stored_video

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Sealed:
    """size_bytes: of the whole file. seal_s, open_s: seconds of wall clock; opening is the second one."""

    size_bytes: int
    shown: Frames
    seal_s: float
    open_s: float


def seal_and_open(
    pngs: Path, bundle: Path, *, budget_s: float, flow: str = "latent", flow_options: Mapping[str, object]
) -> Sealed:
    """Seal a folder of frames on the CPU and open the bundle twice, the first time to warm up."""
    key = neuralcipher.generate_key()
    options = neuralcipher.SealOptions(flow=flow, flow_options=flow_options, budget_s=budget_s, seed=0, device=CPU.type)
    started = time.perf_counter()
    neuralcipher.seal(pngs, bundle, keys=[key], options=options, force=True)
    sealed = time.perf_counter()
    open_frames(bundle, key)
    warm = time.perf_counter()
    shown = open_frames(bundle, key)
    return Sealed(bundle.stat().st_size, shown, sealed - started, time.perf_counter() - warm)


def open_frames(bundle: Path, key: neuralcipher.Key) -> Frames:
    """Every frame of a bundle."""
    with BundleReader.open(bundle) as reader:
        reader.unlock([key])
        segments = stored_segments(reader, stored_video(reader))
        return [picture for segment in segments for picture in render_segment(reader, segment, CPU)]
