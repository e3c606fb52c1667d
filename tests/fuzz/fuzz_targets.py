"""What is fuzzed: one target a parser, with seeds that this package wrote, and bytes put back behind valid checks.

A target takes any bytes. What the package refuses on purpose (NeuralCipherError) is no finding; all else that is
raised is one. The inner parsers are reached as a hostile holder of the key reaches them: MACs, tags and checksums fit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import Any

import msgpack
import numpy as np
import torch
from bundle_parts import (
    CHEAP,
    KEY,
    METADATA,
    SALT,
    bare,
    opened,
    payload_offset,
    sealed,
    sealed_fields,
    with_directory,
    with_header,
    with_plaintext,
)
from flow_parts import CPU, context, keys, moving_square
from PIL import Image

from neuralcipher.coding.binary import FieldReader
from neuralcipher.coding.weights import parameters_from_bytes, parameters_to_bytes, read_weight_bits, step_exponent
from neuralcipher.container import BundleReader, BundleWriter, canonical
from neuralcipher.errors import PayloadDamagedError
from neuralcipher.flows.base import find as find_flow
from neuralcipher.flows.latent.attempts import Attempts, KeptAttempt
from neuralcipher.flows.latent.section import LatentSection
from neuralcipher.flows.latent.section import parse as parse_latent
from neuralcipher.flows.notes import Notes
from neuralcipher.flows.pictures import StoredPicture, picture_to_bytes
from neuralcipher.generators.base import find as find_generator
from neuralcipher.pipeline.segments import load_segment, render_segment
from neuralcipher.pipeline.stored import stored_audio, stored_segments, stored_video
from neuralcipher.video.metadata import AudioPacket, AudioTrack, VideoInfo
from neuralcipher.video.tracks import check_fits, container_for

MOST_PIXELS = 1 << 12  # of a picture that is rendered: what a large one costs is no parser's matter
TINY: dict[str, dict[str, Any]] = {
    "latent": {"steps": 2},
    "autoencoder": {"nconv": 2, "steps": 2},
    "recurrent": {"nconv": 2, "stages": 1, "residual": 1, "keyframe_threshold": 14, "steps": 2},
    "mlp": {"hidden": 3, "steps": 2},
    "lstm": {"hidden": 2, "steps": 2},
}
SHAPES = [(1, 16, 16), (3, 12, 16), (8, 8, 16), (64, 8, 8)]
VIDEO = VideoInfo(16, 10, (1, 25), (0, 1, 2, 5, 6), (25, 1), (1, 1), 1, 1, 1, 1, "420", "cl\u00efp.mp4", 12_345)
PACKETS = tuple(AudioPacket(1024 * i, 1024 * i, 1024, True, bytes([i]) * (20 + i)) for i in range(9))
SOUND = AudioTrack("aac", b"\x12\x10", 48_000, "stereo", (1, 48_000), PACKETS, 1024, 5)


PLAIN = bare(b"some", b"weights")[payload_offset(bare(b"")) : -32]
SEALED = with_plaintext(PLAIN)


@dataclass(frozen=True, slots=True)
class Target:
    """seeds: valid inputs to begin with. run: takes any bytes; raises NeuralCipherError, or it is a finding."""

    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes], None]
    max_bytes: int = 4096


def read_everything(reader: BundleReader) -> None:
    """What a program does with a bundle whose header has been parsed."""
    reader.unlock([KEY])
    for section in reader.sections:
        reader.read_section(section)
    reader.verify()


def _whole(data: bytes) -> None:
    read_everything(opened(data))


def _header(data: bytes) -> None:
    """The header behind a valid check; the first byte says of which suite."""
    suite = (data or b"\0")[0] & 1
    made = with_header(data[1:], suite=suite, payload=b"" if not suite else SEALED[payload_offset(SEALED) :])
    if not suite:
        made += PLAIN
        made += sha256(made).digest()
    read_everything(opened(made))


def _header_seeds() -> list[bytes]:
    return [b"\1" + canonical.pack(sealed_fields()), b"\0" + msgpack.packb({"salt": SALT})]


def _slots(data: bytes) -> None:
    fields = sealed_fields()
    del fields["slots"]  # the last in order
    packed = (msgpack.packb(name) + msgpack.packb(fields[name]) for name in sorted(fields))
    header = bytes([0x81 + len(fields)]) + b"".join(packed) + msgpack.packb("slots") + data
    read_everything(opened(with_header(header, payload=SEALED[payload_offset(SEALED) :])))


def _slot_seeds() -> list[bytes]:
    slots = sealed_fields()["slots"]
    words = {"kind": "passphrase", "m_kib": CHEAP.m_kib, "p": CHEAP.p, "salt": bytes(16), "t": CHEAP.t}
    return [msgpack.packb([*slots, words | {"wrapped": bytes(48)}]), msgpack.packb(slots * 2)]


def _directory(data: bytes) -> None:
    read_everything(opened(with_directory(None, bytes(9), raw=data)))


def _directory_seeds() -> list[bytes]:
    entries = [{"frames": 3, "kind": "flow", "length": 4, "name": "mlp", "offset": 0, "segment": 0}]
    entries.append({"kind": "audio", "length": 5, "offset": 4, "segment": 0})
    return [canonical.pack({"metadata": METADATA, "sections": entries, "version": 1})]


def _plaintext_seeds() -> list[bytes]:
    data = bare(b"some", b"weights")
    return [data[payload_offset(data) : -32]]


def fit(name: str) -> bytes:
    """The section of a tiny video, of the flow called `name`."""
    flow = find_flow(name)
    return flow(flow.config_type(**TINY[name])).fit(moving_square(5, 10, 16), keys(1), context())


def _flow(name: str) -> Target:
    flow = find_flow(name)

    def run(data: bytes) -> None:
        shape = flow.latent_shape(data)
        flow.parameters(data)
        _, height, width = flow.video_shape(data)
        if height * width <= MOST_PIXELS and shape[0] * shape[1] * shape[2] <= 1 << 16:
            next(iter(flow.render(data, keys(1)(shape), CPU)))

    return Target(lambda: [fit(name)], run, 16_384)


def _latents(data: bytes) -> None:
    """The first two bytes say how messages are cut; all the frames are rendered."""
    cut = int.from_bytes(data[:2].ljust(2, b"\0"), "little")
    head, message = data[2 : 2 + cut % 256], data[2 + cut % 256 :]
    section = LatentSection(16, 24, bytes([0x81, 0x02]), (head, message or b"\0", message[cut >> 8 :]))
    flow = find_flow("latent")
    keystream = keys(1)(section.latent_shape)
    for _ in flow.render(section.masked(keystream).to_bytes(), keystream, CPU):
        pass


def _latent_seeds() -> list[bytes]:
    section = parse_latent(fit("latent"))
    head, *messages = section.masked(keys(1)(section.latent_shape)).messages
    return [bytes([len(head) % 256, 3]) + head + b"".join(messages)]


def _generator(name: str) -> Target:
    generator = find_generator(name)

    def run(data: bytes) -> None:
        shape = SHAPES[(data or b"\0")[0] % len(SHAPES)]
        made = generator.from_bytes(data[1:], shape)
        made.next_latent(torch.zeros(shape, dtype=torch.uint8))

    def seeds() -> list[bytes]:
        sample = []
        for number, shape in enumerate(SHAPES[:2]):
            z0 = keys(1)(shape).latent(1)
            extra = {"config": _small_config()} if name == "autoencoder" else {}
            make: Any = generator.train if name == "autoencoder" else generator.create  # type: ignore[attr-defined]
            made = make(shape, seed=bytes(32), z0=z0, progress=lambda done: None, **extra)
            sample.append(bytes([number]) + made.to_bytes())
        return sample

    return Target(seeds, run)


def _small_config() -> Any:
    from neuralcipher.generators.autoencoder import AutoencoderConfig

    return AutoencoderConfig(nconv=2, steps=1, length=2, window=2)


_WEIGHTS = [torch.linspace(-2, 3, 40).reshape(4, 10), torch.zeros(5)]


def _weights(data: bytes) -> None:
    reader = FieldReader(data, "test")
    bits = read_weight_bits(reader)
    parameters_from_bytes(reader, [(4, 10), (5,)], bits)
    reader.finish()


def _weight_seeds() -> list[bytes]:
    grids = [step_exponent(weight, 8) for weight in _WEIGHTS]
    return [bytes([bits]) + parameters_to_bytes(_WEIGHTS, bits, grids) for bits in (8, 16, 32)]


def _picture(data: bytes) -> None:
    StoredPicture(FieldReader(data, "test"), (3, 10, 16)).decode()


def _picture_seeds() -> list[bytes]:
    picture = moving_square(1, 10, 16)[0]
    seeds = [picture_to_bytes(picture)]
    for number, name in enumerate(("PNG", "WEBP")):
        buffer = BytesIO()
        Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(buffer, name, lossless=True)
        seeds.append(bytes([number]) + struct.pack("<I", len(buffer.getvalue())) + buffer.getvalue())
    return seeds


def _checkpoint(data: bytes) -> None:
    """The notes of a fit as they lie in a checkpoint, behind their tag."""
    notes = Notes(data)
    for name in ("attempt 0", "a"):
        found = notes.get(name)
        if found is not None and {"plan", "lengths", "messages", "key"} <= found.keys():
            Attempts(notes).next(1, None, 0.5)


def _checkpoint_seeds() -> list[bytes]:
    kept: list[bytes] = []
    notes = Notes(save=kept.append, every_s=0.0)
    notes.put("a", {"p0": np.arange(6, dtype=np.float32).reshape(2, 3)})
    KeptAttempt(notes, "attempt 0", (1.0, float("nan"), 0.5)).add(b"message")
    return kept[-1:]


def _video(data: bytes) -> None:
    try:
        fields = canonical.unpack(data, max_items=1 << 12)
    except canonical.CanonicalError as error:
        raise PayloadDamagedError(str(error)) from error
    info = VideoInfo.from_dict(fields)
    _ = info.frames, info.duration_s, info.last_duration


def _sound(data: bytes) -> None:
    track = AudioTrack.from_bytes(data)
    check_fits(track, container_for(track))


def _bundle(data: bytes) -> None:
    """A bare bundle with a valid checksum, taken through the pipeline up to its pictures."""
    header = with_header(msgpack.packb({"salt": SALT}), suite=0)
    reader = opened(header + data + sha256(header + data).digest())
    reader.unlock([KEY])
    info = stored_video(reader)
    stored_audio(reader)
    for segment in stored_segments(reader, info):
        load_segment(reader, segment, reader.segment_seed(segment.number), CPU)
        if info.width * info.height <= MOST_PIXELS and segment.frames <= 8:
            for _ in render_segment(reader, segment, CPU):
                pass


def whole_bundle(writer: BundleWriter, flow: str = "mlp", generator: str = "chacha20") -> None:
    """Write a video of one segment, with its sound."""
    section = fit(flow)
    shape = find_flow(flow).latent_shape(section)
    z0 = torch.zeros(shape, dtype=torch.uint8)
    made = find_generator(generator).create(shape, seed=bytes(32), z0=z0, progress=lambda done: None)
    writer.add_section("generator", 0, made.to_bytes(), name=generator)
    writer.add_section("flow", 0, section, name=flow, frames=VIDEO.frames)
    writer.add_section("audio", 0, SOUND.to_bytes())
    writer.finish({"video": VIDEO.to_dict()})


def _bundle_seeds() -> list[bytes]:
    seeds = []
    for flow in ("mlp", "autoencoder"):
        file = BytesIO()
        whole_bundle(BundleWriter.create_bare(file, KEY), flow)
        data = file.getvalue()
        seeds.append(data[payload_offset(data) : -32])
    return seeds


TARGETS: dict[str, Target] = {
    "file": Target(lambda: [sealed(b"some", b"weights"), bare(b"some", b"weights")], _whole),
    "header": Target(_header_seeds, _header),
    "slots": Target(_slot_seeds, _slots),
    "plaintext": Target(_plaintext_seeds, lambda data: _whole(with_plaintext(data))),
    "directory": Target(_directory_seeds, _directory),
    "bundle": Target(_bundle_seeds, _bundle, 16_384),
    "video": Target(lambda: [canonical.pack(VIDEO.to_dict())], _video),
    "sound": Target(lambda: [SOUND.to_bytes()], _sound),
    "checkpoint": Target(_checkpoint_seeds, _checkpoint),
    "weights": Target(_weight_seeds, _weights),
    "picture": Target(_picture_seeds, _picture),
    "latents": Target(_latent_seeds, _latents),
    **{f"flow-{name}": _flow(name) for name in TINY},
    **{f"generator-{name}": _generator(name) for name in ("feistel", "autoencoder", "chacha20")},
}
