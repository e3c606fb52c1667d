"""Bundles that were sealed once open for ever (docs/releases.md): those in `golden/` stand for the ones out there."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from make_golden_bundles import CASES, KEY, PHRASE, credential, frames_of
from PIL import Image

import neuralcipher
from neuralcipher.container import AEAD_NAMES, SUITES, BundleReader
from neuralcipher.errors import NeuralCipherError, UnsupportedError
from neuralcipher.flows import base as flows
from neuralcipher.generators import base as generators
from neuralcipher.pipeline.kinds import SECTION_FLOW, SECTION_GENERATOR
from neuralcipher.registry import entry_names

GOLDEN = Path(__file__).with_name("golden")
KINDS = (SECTION_FLOW, SECTION_GENERATOR)
BUNDLES = sorted(GOLDEN.glob("*/*.ncv"))


def age(folder: str) -> tuple[int, ...]:
    """Folders are called after releases, but for what the next one will write."""
    return (10**6,) if folder == "unreleased" else tuple(int(part) for part in folder.split("."))


NEWEST = max((path.name for path in GOLDEN.iterdir()), key=age)


def packets(path: Path) -> list[bytes]:
    with av.open(path) as source:
        return [bytes(packet) for packet in source.demux(audio=0) if packet.size]


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_opens_and_shows_what_it_showed(path: Path) -> None:
    """Networks compute in floating point: another machine may differ in last bits, and so by a level here and there."""
    shown = frames_of(path, [credential(path.stem)]).astype(int)
    expected = np.asarray(Image.open(path.with_suffix(".png"))).astype(int)
    assert shown.shape == expected.shape
    difference = np.abs(shown - expected)
    assert difference.max() <= 3
    assert difference.mean() < 0.05


@pytest.mark.parametrize("folder", sorted({path.parent for path in BUNDLES}), ids=lambda folder: folder.name)
def test_its_sound_comes_out_packet_by_packet(folder: Path, tmp_path: Path) -> None:
    neuralcipher.extract_audio(folder / "latent-feistel.ncv", tmp_path / "sound.mka", keys=[KEY])
    stored, clip = packets(tmp_path / "sound.mka"), packets(neuralcipher.demo_clip())
    assert len(stored) > 3
    assert stored == clip[: len(stored)]


# Nothing tells the right key of a bare bundle, by design.
@pytest.mark.parametrize(
    "path", [p for p in BUNDLES if not p.stem.endswith("-bare")], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_it_does_not_open_with_another_key(path: Path) -> None:
    with pytest.raises(NeuralCipherError, match="no key slot"):
        frames_of(path, [KEY if credential(path.stem) is PHRASE else PHRASE])


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest.mark.parametrize("step", [-1, 1], ids=["older", "newer"])
def test_a_section_of_another_version_is_not_called_damaged(path: Path, step: int) -> None:
    with BundleReader.open(path) as reader:
        reader.unlock([credential(path.stem)])
        sections = [next(section for section in reader.sections if section.kind == kind) for kind in KINDS]
        names = [section.attributes["name"] for section in sections]
        stored = [reader.read_section(section) for section in sections]
    flow, generator = (bytes([data[0] + step]) + data[1:] for data in stored)
    hint = "newer" if step > 0 else "that sealed it"
    with pytest.raises(UnsupportedError, match="version") as refused:
        flows.find(names[0]).video_shape(flow)
    assert hint in refused.value.hint
    with pytest.raises(UnsupportedError, match="version") as refused:
        generators.find(names[1]).from_bytes(generator, (3, 32, 48))
    assert hint in refused.value.hint


def test_everything_that_can_be_written_today_is_among_the_newest() -> None:
    """A new flow, generator or version of a section needs golden bundles of its own: make_golden_bundles.py."""
    assert {path.stem for path in BUNDLES if path.parent.name == NEWEST} == set(CASES)
    options = CASES.values()
    assert {option.flow for option in options} == set(entry_names("neuralcipher.flows"))
    assert {option.generator for option in options} == set(entry_names("neuralcipher.generators"))
    assert {option.aead for option in options} == set(AEAD_NAMES)
    assert {option.suite for option in options} == set(SUITES)
    segments, kinds = set(), set()
    for path in BUNDLES:
        with BundleReader.open(path) as reader:
            kinds |= {slot.kind for slot in reader.slots}
            reader.unlock([credential(path.stem)])
            segments.add(len({section.segment for section in reader.sections if section.kind == "flow"}))
    assert kinds == {"key", "passphrase"}
    assert max(segments) > 1
