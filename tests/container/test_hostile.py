"""What a hostile holder of the key can put behind valid seals: refused before anything is allocated for it."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from bundle_parts import KEY, sealed_fields, with_directory, with_header
from peak_memory import peak_memory
from video_parts import FRAMES, HEIGHT, SOUND, WIDTH, untrained, use, video_bundle

from neuralcipher.cli.info import info
from neuralcipher.coding.binary import pack_block
from neuralcipher.coding.entropy import MessageEncoder
from neuralcipher.errors import (
    HeaderDamagedError,
    LimitError,
    NeuralCipherError,
    PayloadDamagedError,
    UnsupportedError,
)
from neuralcipher.flows.base import find
from neuralcipher.flows.latent.section import LatentSection
from neuralcipher.flows.notes import Notes
from neuralcipher.generators.autoencoder import AutoencoderGenerator
from neuralcipher.generators.feistel import FeistelGenerator

MOST_BYTES = 4 << 20  # beside twice the input
MOST_S = 1.0  # of processor time
MLP = {"hidden": 2, "weight_bits": 8}
Refusal = type[NeuralCipherError]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """What is loaded once is not the hostile file's; and that what is good is not refused."""
    for flow, options in (("mlp", MLP), ("autoencoder", {"nconv": 2}), ("lstm", {"hidden": 2}), ("recurrent", {})):
        shape = find(flow).latent_shape(untrained(flow, **options))
        assert len(shape) == 3
    use(video_bundle(untrained("mlp", **MLP), sound=SOUND.to_bytes()))


def refused(act: Callable[[], object], error: Refusal, size: int) -> str:
    """`act` raises exactly `error`, at once and in little memory; returns the sentence and its hint."""
    with peak_memory() as peak:
        started = time.process_time()
        with pytest.raises(NeuralCipherError) as caught:
            act()
        took_s = time.process_time() - started
    assert type(caught.value) is error, caught.value.message
    assert peak.bytes < MOST_BYTES + 2 * size
    assert took_s < MOST_S
    text = caught.value.message + caught.value.hint
    assert text.isprintable()
    return text


def bundle_refused(data: bytes, error: Refusal) -> str:
    return refused(lambda: use(data), error, len(data))


NAMES = [
    "a/b",
    "/etc/passwd",
    "..",
    ".",
    "",
    "../x.mp4",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\x1b[2J",
    "\x7f",
    "\x9b2J",
    "x" * 256,
]
NAMES += ["\u202egpj.exe", "\u2066a\u2069", "\u200fa", "\ufeffa", "a\u2028b", "\U000e0041", "\u00ad"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_stored_file_names(name: str) -> None:
    text = bundle_refused(video_bundle(untrained("mlp", **MLP), video={"source_name": name}), PayloadDamagedError)
    assert "file name" in text


@pytest.mark.parametrize("name", ["\x1b[2J", "a/../b", "\u202eflow", "x" * 5_000, "", "__import__('os')"], ids=ascii)
def test_names_of_flows_and_generators(name: str) -> None:
    section = untrained("mlp", **MLP)
    for data in (video_bundle(section, flow=name), video_bundle(section, generator_name=name)):
        bundle_refused(data, UnsupportedError)
    bundle_refused(video_bundle(section, flow=7), PayloadDamagedError)  # type: ignore[arg-type]


@cache
def column(count: int) -> bytes:
    """So many zeros, which are as many integers."""
    return zlib.compress(bytes(count), 9)


@pytest.mark.parametrize(
    ("video", "error"),
    [
        ({"frames": 10**9}, LimitError),
        ({"frames": 10**9, "pts": column(10**7)}, LimitError),
        ({"frames": 2**64 - 1}, LimitError),
        ({"frames": -1}, PayloadDamagedError),
        ({"width": 65_535, "height": 65_535}, LimitError),
        ({"width": 16_384, "height": 16_384}, LimitError),
        ({"width": 0}, PayloadDamagedError),
        ({"pts": column(10**8)}, PayloadDamagedError),  # 100 MB in 97 KB
        ({"pts": b"\x78\x9c" + bytes(50)}, PayloadDamagedError),
        ({"time_base": [1, 0]}, PayloadDamagedError),
        ({"time_base": [1, 2**40]}, LimitError),
    ],
)
def test_numbers_of_frames_and_pixels(video: dict[str, Any], error: Refusal) -> None:
    bundle_refused(video_bundle(untrained("mlp", **MLP), video=video), error)


@pytest.mark.parametrize("frames", [10**9, 2**64 - 1, 0, -1, True, "3", None, FRAMES + 1])
def test_numbers_of_frames_in_the_directory(frames: Any) -> None:
    bundle_refused(video_bundle(untrained("mlp", **MLP), frames=frames), PayloadDamagedError)


@pytest.mark.parametrize("flow", ["latent", "autoencoder", "recurrent", "mlp", "lstm"])
@pytest.mark.parametrize(("frames", "height", "width"), [(10**9, 10, 16), (3, 65_535, 65_535), (3, 16_384, 16_384)])
def test_claims_in_the_sections_of_flows(flow: str, frames: int, height: int, width: int) -> None:
    version = 3 if flow == "latent" else 1
    section = struct.pack("<BIHH", version, frames, height, width) + bytes([1, 2, 0, 1]) * 9
    for data in (video_bundle(section, flow=flow), video_bundle(section, flow=flow, frames=frames)):
        with pytest.raises((LimitError, PayloadDamagedError)):
            use(data)
    refused(lambda: find(flow).latent_shape(section), LimitError, len(section))


@pytest.mark.parametrize(
    ("height", "width", "frames"), [(16_384, 8_192, 3), (16, 10, 3), (10, 16, 65_536), (10, 16, 2)]
)
def test_a_section_that_shows_something_else_than_the_bundle_says(height: int, width: int, frames: int) -> None:
    """Refused before its network is made, not after its first picture has another size."""
    section = bytearray(untrained("mlp", **MLP))
    struct.pack_into("<IHH", section, 1, frames, height, width)
    text = bundle_refused(video_bundle(bytes(section)), PayloadDamagedError)
    assert "another picture size" in text or f"has {frames} frames, not {FRAMES}" in text


def test_a_large_picture_from_few_bytes_of_the_flow_latent() -> None:
    section = LatentSection(16_384, 8_192, bytes([0x81, 0x40]), (b"", bytes(1023), b"")).to_bytes()
    refused(lambda: find("latent").latent_shape(section), LimitError, len(section))


def weights_bomb(stages: int) -> bytes:
    """An autoencoder of 256 filters, its millions of weights in a message of no bytes."""
    head = struct.pack("<BIHHHB", 1, FRAMES, HEIGHT, WIDTH, 256, stages)
    return head + bytes([0, 0, 127]) * 14 * stages + pack_block(MessageEncoder().to_bytes())


@pytest.mark.parametrize("stages", [1, 4])
def test_weights_that_no_byte_holds(stages: int) -> None:
    assert "no room" in bundle_refused(video_bundle(weights_bomb(stages), flow="autoencoder"), PayloadDamagedError)


HEAD = struct.pack("<BIHHB", 1, FRAMES, HEIGHT, WIDTH, 1)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize(
    ("flow", "fields", "error"),
    [
        ("mlp", struct.pack("<HBB", 1200, 8, 16), PayloadDamagedError),
        ("mlp", struct.pack("<HBB", 4096, 8, 16), LimitError),
        ("lstm", struct.pack("<HB", 1024, 1), PayloadDamagedError),
        ("recurrent", struct.pack("<BHBBHB", 1, 256, 1, 3, 256, 0), PayloadDamagedError),
    ],
)
def test_weights_of_other_flows_that_no_byte_holds(flow: str, fields: bytes, error: Refusal, bits: int) -> None:
    section = HEAD + fields + bytes([bits]) + bytes(60)
    refused(lambda: find(flow).latent_shape(section), error, len(section))


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("flow", "options"), [("mlp", {"hidden": 2}), ("lstm", {"hidden": 2}), ("recurrent", {"nconv": 2})]
)
def test_weights_that_are_no_numbers(flow: str, options: dict[str, int], value: float, bits: int) -> None:
    section = untrained(flow, weight_bits=bits, **options)
    last = struct.pack("<e" if bits == 16 else "<f", value)
    text = bundle_refused(video_bundle(section[: -len(last)] + last, flow=flow), PayloadDamagedError)
    assert "not a number" in text


def test_a_layer_out_of_proportion() -> None:
    head = struct.pack("<BIHHHB", 1, 1, 4_096, 4_096, 256, 1)
    section = head + bytes([0, 0, 127]) * 14 + pack_block(bytes(200_000))
    assert "outside" in refused(lambda: find("autoencoder").latent_shape(section), LimitError, len(section))


def test_generators_out_of_proportion() -> None:
    large = (3, 4_096, 4_096)
    feistel = struct.pack("<BBBB32s", 1, 64, 64, 0, bytes(32))
    assert "rounds over" in refused(lambda: FeistelGenerator.from_bytes(feistel, large), LimitError, 36)
    weights = [(3, 64), *[(64, 64)] * 5, (64, 3)]
    network = bytes([1, 0, 64]) + bytes(sum(9 * a * b + 2 * b for a, b in weights))
    text = refused(lambda: AutoencoderGenerator.from_bytes(network, large), LimitError, len(network))
    assert "layers of" in text


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one black row, whatever size it claims."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(bytes(WIDTH + 1))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in parts:
        data += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return data


BOMB = zlib.compress(bytes(60 << 20), 9)


@pytest.mark.parametrize(
    "picture",
    [
        png(65_535, 65_535),
        png(2**31 - 1, 2**31 - 1),
        png(WIDTH, HEIGHT, (b"zTXt", b"a\0\0" + BOMB)),
        png(WIDTH, HEIGHT, (b"iTXt", b"a\0\1\0\0\0" + BOMB)),
        png(WIDTH, HEIGHT, (b"iCCP", b"a\0\0" + BOMB)),
    ],
    ids=["side", "most", "zTXt", "iTXt", "iCCP"],
)
def test_stored_pictures_that_unpack_to_much(picture: bytes) -> None:
    section = bytearray(untrained("lstm", hidden=2, past=1, weight_bits=8))
    at = len(HEAD) + 4
    length = struct.unpack_from("<I", section, at + 1)[0]
    section[at : at + 5 + length] = b"\0" + pack_block(picture)

    def show() -> None:
        flow = find("lstm")
        next(iter(flow.render(bytes(section), None, None)))  # type: ignore[arg-type]

    refused(show, PayloadDamagedError, len(section))


@pytest.mark.parametrize("name", ["pts", "durations", "delays", "keys", "sizes"])
def test_columns_of_the_sound_that_unpack_to_much(name: str) -> None:
    fields = msgpack.unpackb(SOUND.to_bytes())
    for count, error in ((9, PayloadDamagedError), (10**7, PayloadDamagedError), (10**9, LimitError)):
        changed = fields | {"packets": count, name: column(10**8)}
        bundle_refused(video_bundle(untrained("mlp", **MLP), sound=msgpack.packb(changed)), error)


def test_ten_million_packets_of_no_bytes() -> None:
    columns = dict.fromkeys(("pts", "durations", "delays", "keys", "sizes"), column(10**7))
    sound = msgpack.packb(msgpack.unpackb(SOUND.to_bytes()) | columns | {"packets": 10**7, "data": b""})
    bundle_refused(video_bundle(untrained("mlp", **MLP), sound=sound), PayloadDamagedError)


@pytest.mark.parametrize("nest", [b"\x91", b"\x81\xa1a"], ids=["lists", "maps"])
@pytest.mark.parametrize("depth", [17, 5_000, 60_000])
def test_nesting(nest: bytes, depth: int) -> None:
    deep = nest * depth + b"\xc0"
    if len(deep) < 60_000:
        bundle_refused(with_header(deep), HeaderDamagedError)
    bundle_refused(with_directory(None, raw=deep), PayloadDamagedError)
    packed = b"\x83\xa8metadata\x81\xa1a" + deep + b"\xa8sections\x90\xa7version\x01"
    bundle_refused(with_directory(None, raw=packed), PayloadDamagedError)
    bundle_refused(video_bundle(untrained("mlp", **MLP), sound=deep), PayloadDamagedError)


@pytest.mark.parametrize(
    "claim", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff"]
)
def test_lengths_that_are_not_there(claim: bytes) -> None:
    bundle_refused(with_header(claim), HeaderDamagedError)
    bundle_refused(with_directory(None, raw=claim), PayloadDamagedError)
    bundle_refused(video_bundle(untrained("mlp", **MLP), sound=claim), PayloadDamagedError)


def entry(**changes: Any) -> dict[str, Any]:
    return {"kind": "flow", "length": 3, "offset": 0, "segment": 0} | changes


@pytest.mark.parametrize(
    ("sections", "error"),
    [
        ([entry(), entry(offset=3, length=0)], PayloadDamagedError),  # twice
        ([entry(), entry(segment=1, offset=2, length=1)], PayloadDamagedError),  # overlapping
        ([entry(segment=1, offset=2, length=1), entry(length=2)], PayloadDamagedError),
        ([entry(length=2**30 + 1)], LimitError),
        ([entry(length=2**64 - 1)], LimitError),
        ([entry(offset=2**64 - 1)], PayloadDamagedError),
    ],
)
def test_sections_twice_overlapping_and_huge(sections: list[Any], error: Refusal) -> None:
    directory = {"metadata": {}, "sections": sections, "version": 1}
    bundle_refused(with_directory(directory, b"abc"), error)


@pytest.mark.parametrize("field", ["kind", "aead", "more"])
def test_messages_hold_nothing_that_steers_a_terminal(field: str) -> None:
    fields = sealed_fields()
    name = "\x1b]0;x\x07\u202e"
    if field == "kind":
        fields["slots"] = [{"kind": name}]
    else:
        fields |= {"aead": name} if field == "aead" else {name: 1}
    bundle_refused(
        with_header(msgpack.packb(dict(sorted(fields.items())))),
        HeaderDamagedError if field == "more" else UnsupportedError,
    )
    bundle_refused(
        with_directory({"metadata": {}, "sections": [entry(kind=name, offset=1)], "version": 1}, b"abc"),
        PayloadDamagedError,
    )


def test_notes_of_a_fit_that_unpack_to_much() -> None:
    """Behind the tag of a checkpoint: compressed members, shapes that nobody stored, bits of zip that are not used."""
    kept: list[bytes] = []
    Notes(save=kept.append, every_s=0.0).put("a", {"p0": np.zeros((2, 3), np.float32)})
    assert Notes(kept[-1]).get("a") is not None
    packed = io.BytesIO()
    np.savez_compressed(packed, **{"a/p0": np.zeros(50 << 20, np.uint8)})
    claim = kept[-1].replace(b"'shape': (2, 3), }", b"'shape': (99999999,)}")
    flags = bytearray(kept[-1])
    flags[flags.index(b"PK\1\2") + 8] |= 0x20
    other = kept[-1].replace(b"\x93NUMPY", b"\x93NUMPX")
    for data in (packed.getvalue(), claim, other, bytes(flags), kept[-1][:-30], b""):
        refused(lambda data=data: Notes(data), PayloadDamagedError, len(data))


def test_info_shows_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds of sections and names of flows are whatever their writer chose."""
    name = "\x1b]0;owned\x07\u202e"
    (tmp_path / "k.bin").write_bytes(KEY.reveal())
    (tmp_path / "k.bin").chmod(0o600)
    (tmp_path / "v.ncv").write_bytes(video_bundle(b"", kind=name, flow=name, generator_name=name))
    info(tmp_path / "v.ncv", [tmp_path / "k.bin"])
    shown = capsys.readouterr().out
    assert "owned" in shown
    assert all(line.isprintable() for line in shown.splitlines())
