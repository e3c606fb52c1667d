"""Bundles for the player: one small video is sealed, and then written again with other keys, sounds and sections."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.flows.latent import section as stored
from neuralcipher.flows.latent.flow import _decode
from neuralcipher.flows.latent.head import Changes, Head
from neuralcipher.flows.latent.network import shipped_weights
from neuralcipher.flows.latent.structure import groups
from neuralcipher.generators import base as generators
from neuralcipher.generators.base import Keystream
from neuralcipher.keys import Argon2Parameters, Credential
from neuralcipher.pipeline.segments import load_segment, start
from neuralcipher.pipeline.stored import stored_segments, stored_video
from neuralcipher.video.metadata import AudioPacket, AudioTrack
from neuralcipher.video.reading import probe, read_frames

KEY = Key(bytes(range(32)))
PHRASE = "five small words are enough"
CHEAP = Argon2Parameters(t=1, m_kib=64, p=2)
CPU = torch.device("cpu")
FRAMES = 9


def seal_clip(output: Path) -> Path:
    """A window of 70x40 that moves fast over a picture of the demo clip, and then a cut: 9 frames with long vectors.

    Neither side is a multiple of 16.
    """
    source = neuralcipher.demo_clip()
    (scene,) = read_frames(source, probe(source, scale=(320, 180), max_frames=1))
    folder = output.with_name("moving")
    folder.mkdir()
    for i in range(FRAMES):
        top, left = (90 - i, 20 + 3 * i) if i < FRAMES - 2 else (130 - i, 240 - 3 * i)
        Image.fromarray(scene[top : top + 40, left : left + 70]).save(folder / f"{i}.png")
    options = SealOptions(flow_options={"steps": 0}, seed=1)
    neuralcipher.seal(folder, output, keys=[KEY], options=options)
    return output


@dataclass(frozen=True)
class Rewriting:
    """What is to be different. twice: the segment comes twice. repairs: with a network that this video changed.

    bare: in clear, for KEY alone.
    """

    keys: Sequence[Credential] = (KEY,)
    aead: str = "chacha20-poly1305"
    generator: str | None = None
    repairs: bool = False
    twice: bool = False
    bare: bool = False
    sound: AudioTrack | None = None


def rewritten(source: Path, how: Rewriting) -> bytes:
    """The bundle again, with fresh salts."""
    file = io.BytesIO()
    with BundleReader.open(source) as reader:
        reader.unlock([KEY])
        (segment,) = stored_segments(reader, stored_video(reader))
        _, section, keystream = load_segment(reader, segment, reader.segment_seed(0), CPU)
        clear = stored.parse(section).masked(keystream)
        if how.repairs:
            head = replace(Head.from_bytes(clear.messages[0], b""), repairs=True, changes=some_changes())
            clear = replace(clear, messages=(head.to_bytes(), *clear.messages[1:]))
        made = keystream.generator
        if how.generator:
            z = torch.zeros(clear.latent_shape, dtype=torch.uint8)
            kind = generators.find(how.generator)
            made = kind.create(clear.latent_shape, seed=bytes(32), z0=z, progress=lambda done: None)
        parameters, name = made.to_bytes(), how.generator or segment.generator_name
        if how.bare:
            writer = BundleWriter.create_bare(file, KEY)
        else:
            writer = BundleWriter.create_sealed(file, how.keys, aead=how.aead, argon2=CHEAP)
        metadata = reader.metadata
        for number in range(2 if how.twice else 1):
            generator = generators.find(name).from_bytes(parameters, clear.latent_shape)
            seed = writer.segment_seed(number)
            masked = clear.masked(Keystream(generator, start(seed, clear.latent_shape, CPU)))
            writer.add_section("generator", number, parameters, name=name)
            writer.add_section("flow", number, masked.to_bytes(), name="latent", frames=segment.frames)
        if how.twice:
            video = stored_video(reader)
            times = range(0, 2 * len(video.pts) * video.last_duration, video.last_duration)
            metadata = {**metadata, "video": replace(video, pts=tuple(times)).to_dict()}
        if how.sound is not None:
            writer.add_section("audio", 0, how.sound.to_bytes())
        writer.finish(metadata)
    return file.getvalue()


def some_changes() -> Changes:
    """Changes to a tenth of the repairing network's weights."""
    torch.manual_seed(0)
    shapes = [weight.shape for weight in shipped_weights()]
    levels = tuple(torch.randint(-2, 3, shape) * (torch.rand(shape) < 0.1) for shape in shapes)
    return Changes(tuple(9 + i % 7 for i in range(len(shapes))), levels)


def tone(codec: str = "pcm_s16le", rate: int = 8000) -> AudioTrack:
    """A second of a tone in packets of a tenth of a second; of another codec, the same bytes."""
    samples = (8000 * np.sin(np.arange(rate) * 2 * np.pi * 440 / rate)).astype("<i2")
    step = rate // 10
    packets = tuple(AudioPacket(i, i, step, True, samples[i : i + step].tobytes()) for i in range(0, rate, step))
    return AudioTrack(codec, b"", rate, "mono", (1, rate), packets)


def facts(path: Path) -> dict[str, Any]:
    """Digests of everything between a bundle's first segment and its pictures, as the player must find it."""
    with BundleReader.open(path) as reader:
        reader.unlock([KEY])
        segment = stored_segments(reader, stored_video(reader))[0]
        _, section, keystream = load_segment(reader, segment, reader.segment_seed(0), CPU)
        parsed = stored.parse(section)
        head = Head.from_bytes(*parsed.unmask(0, keystream))
        changed = head.changes.weights() if head.changes else shipped_weights()
        weights = b"".join(weight.numpy().tobytes() for weight in changed)
        frames = {}
        for _, latents in _decode(parsed, groups(parsed.plan), keystream, head.quality):
            for found in latents:
                parts = found.motion.mode.astype(np.uint8), found.motion.vectors.astype(np.int16)
                dense = np.ascontiguousarray(found.latents.transpose(2, 3, 0, 1))
                frames[str(found.frame.index)] = digest(*(part.tobytes() for part in (*parts, dense)))
        return {
            "latents": [digest(keystream.latent(i).numpy().tobytes()) for i in (1, 2, 3)],
            "colour": list(head.colour.values),
            "quality": head.quality,
            "weights": digest(weights) if head.repairs else None,
            "frames": frames,
        }


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
