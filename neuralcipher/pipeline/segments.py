"""Segments, the unit that is sealed and opened alone: how long they are, what they start from, and their frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.container import BundleReader
from neuralcipher.errors import PayloadDamagedError, UnsupportedError, UsageError
from neuralcipher.flows import base as flows
from neuralcipher.generators import base as generators
from neuralcipher.generators.base import Keystream
from neuralcipher.keys import SegmentSeed, start_latent
from neuralcipher.pipeline.stored import StoredSegment, named
from neuralcipher.process import give_back_memory

Picture = NDArray[np.uint8]

T = TypeVar("T")

_SEGMENT_BYTES = 128 << 20
_SEGMENT_FRAMES = 256


def segment_lengths(
    frames: int, height: int, width: int, cuts: Sequence[int] = (), most: int | None = None
) -> list[int]:
    """How many frames each segment takes: at most `most` (256), at most 128 MiB of raw video.

    cuts: the frames that begin a scene, ascending, within 1..frames-1. Segments begin there where they can: a scene
    that is too long is divided evenly, and short ones that follow each other share a segment.
    """
    most = max(1, min(_SEGMENT_FRAMES if most is None else most, _SEGMENT_BYTES // (3 * height * width)))
    lengths: list[int] = []
    for start, stop in pairwise((0, *cuts, frames)):
        scene = stop - start
        if lengths and lengths[-1] + scene <= most:
            lengths[-1] += scene
            continue
        count = -(-scene // most)
        lengths += [scene * (i + 1) // count - scene * i // count for i in range(count)]
    return lengths


def public_seed(seed: str, segment: int) -> bytes:
    """The 32 bytes that a segment's generator is made from. seed: a number, or the bundle's salt in hexadecimal."""
    return hashlib.sha256(f"ncv1 generator {seed} {segment}".encode()).digest()


def start(seed: SegmentSeed, shape: generators.Shape, device: torch.device) -> Tensor:
    """z0 as a tensor (C, H, W) uint8."""
    return torch.from_numpy(start_latent(seed, shape)).to(device)


def _found(find: Callable[[str], T], name: str, noun: str, reader: BundleReader) -> T:
    """The variant that a bundle names. Raises UnsupportedError: it is the bundle that asks for it, not the user."""
    try:
        return find(name)
    except UsageError as error:
        sentence = f"{reader.name} was sealed with the {noun} {name[:64]!r}, which this installation lacks"
        raise UnsupportedError(sentence, hint="install the package that brings it, or a newer neuralcipher") from error


def load_segment(
    reader: BundleReader, segment: StoredSegment, seed: SegmentSeed, device: torch.device
) -> tuple[type[flows.Flow], bytes, Keystream]:
    """The flow, its section and the keystream of a stored segment.

    Raises PayloadDamagedError if the section shows another number or size of frames than the bundle says: before
    anything is allocated for them.
    """
    flow = _found(flows.find, segment.flow_name, "flow", reader)
    kind = _found(generators.find, segment.generator_name, "generator", reader)
    with named(reader):
        return _load(reader, segment, seed, device, flow, kind)


def _load(
    reader: BundleReader,
    segment: StoredSegment,
    seed: SegmentSeed,
    device: torch.device,
    flow: type[flows.Flow],
    kind: type[generators.Generator],
) -> tuple[type[flows.Flow], bytes, Keystream]:
    section = reader.read_section(segment.flow)
    count, height, width = flow.video_shape(section)
    if (height, width) != (segment.height, segment.width):
        raise PayloadDamagedError(f"{reader.name} has a segment of another picture size")
    if count != segment.frames:
        raise PayloadDamagedError(f"segment {segment.number} of {reader.name} has {count} frames, not {segment.frames}")
    shape = flow.latent_shape(section)
    parameters = reader.read_section(segment.generator)
    generator = kind.from_bytes(parameters, shape).to(device)
    return flow, section, Keystream(generator, start(seed, shape, device))


def render_segment(
    reader: BundleReader,
    segment: StoredSegment,
    device: torch.device,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Picture]:
    """Yield frames start..stop-1 of one segment, each (H, W, 3) uint8 RGB."""
    flow, section, keystream = load_segment(reader, segment, reader.segment_seed(segment.number), device)
    count = 0
    with named(reader):
        for frame in flow.render(section, keystream, device, start, stop):
            if tuple(frame.shape) != (3, segment.height, segment.width):
                raise PayloadDamagedError(f"{reader.name} has a segment of another picture size")
            count += 1
            yield frame.permute(1, 2, 0).contiguous().numpy()
    give_back_memory()
    if count != (segment.frames if stop is None else stop) - start:
        raise PayloadDamagedError(f"segment {segment.number} of {reader.name} has {count} frames, not {segment.frames}")
