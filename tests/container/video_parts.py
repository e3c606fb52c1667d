"""A small video as a bundle holds it: its description, its sound, and sections of flows that nothing trained."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from bundle_parts import KEY, opened

from neuralcipher.container import BundleWriter
from neuralcipher.flows.base import FitContext, find
from neuralcipher.generators.base import Keystream, Shape
from neuralcipher.generators.chacha20 import ChaCha20Generator
from neuralcipher.pipeline.segments import load_segment
from neuralcipher.pipeline.stored import stored_audio, stored_segments, stored_video
from neuralcipher.video.metadata import AudioPacket, AudioTrack, VideoInfo

CPU = torch.device("cpu")
FRAMES, HEIGHT, WIDTH = 3, 10, 16
VIDEO = VideoInfo(WIDTH, HEIGHT, (1, 25), (0, 1, 3), (25, 1), (1, 1), 1, 1, 1, 1, "420", "cl\u00efp.mp4", 12_345)
SOUND = AudioTrack(
    "aac",
    b"\x12\x10",
    48_000,
    "stereo",
    (1, 48_000),
    tuple(AudioPacket(1024 * i, 1024 * i, 1024, True, bytes([i]) * (20 + i)) for i in range(9)),
    1024,
    5,
)
GENERATOR = ChaCha20Generator((1, 16, 16), bytes(32)).to_bytes()


def untrained(flow: str, **options: Any) -> bytes:
    """The section of a flow with no step of training, of grey noise."""
    kind = find(flow)

    def keystream(shape: Shape) -> Keystream:
        return Keystream(ChaCha20Generator(shape, bytes(32)), torch.zeros(shape, dtype=torch.uint8))

    grey = np.random.default_rng(3).integers(0, 256, (FRAMES, 1, HEIGHT, WIDTH), dtype=np.uint8)
    frames = torch.from_numpy(grey.repeat(3, axis=1))
    context = FitContext(0.0, 0, CPU, lambda report: None)
    return kind(kind.config_type(steps=0, **options)).fit(frames, keystream, context)


def video_bundle(
    section: bytes,
    *,
    video: Mapping[str, Any] | None = None,
    flow: str = "mlp",
    frames: Any = FRAMES,
    generator: bytes = GENERATOR,
    generator_name: str = "chacha20",
    sound: bytes | None = None,
    kind: str = "flow",
) -> bytes:
    """A sealed bundle of one segment, its seals valid; video: what changes in its description."""
    file = io.BytesIO()
    writer = BundleWriter.create_sealed(file, [KEY])
    writer.add_section("generator", 0, generator, name=generator_name)
    writer.add_section(kind, 0, section, name=flow, frames=frames)
    if sound is not None:
        writer.add_section("audio", 0, sound)
    writer.finish({"video": VIDEO.to_dict() | dict(video or {})})
    return file.getvalue()


def use(data: bytes) -> None:
    """All that opening does before it renders the first frame."""
    reader = opened(data)
    reader.unlock([KEY])
    info = stored_video(reader)
    stored_audio(reader)
    for segment in stored_segments(reader, info):
        load_segment(reader, segment, reader.segment_seed(segment.number), CPU)
