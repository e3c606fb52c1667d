"""Aiming at a size or a PSNR: what is kept, what is refused, and what is said where it cannot be."""

from __future__ import annotations

import io
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.errors import UsageError
from neuralcipher.flows.latent import rate
from neuralcipher.generators.autoencoder import AutoencoderConfig, AutoencoderGenerator
from neuralcipher.pipeline import job, segments
from neuralcipher.pipeline.kinds import SECTION_AUDIO, SECTION_FLOW, SECTION_GENERATOR
from neuralcipher.pipeline.options import PRESETS
from neuralcipher.pipeline.targets import SizePlan, missed, plan_sentence
from neuralcipher.video.reading import probe, read_audio, read_frames

FRAMES = 8
SMALL = {"max_frames": FRAMES, "scale": "64x48", "generator": "chacha20"}
UNTRAINED = {"flow_options": {"steps": 0}}


@pytest.fixture(scope="module")
def key() -> Key:
    return neuralcipher.generate_key()


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    """Frames of the carried clip, without its sound."""
    folder = tmp_path_factory.mktemp("silent")
    clip = neuralcipher.demo_clip()
    for number, picture in enumerate(read_frames(clip, probe(clip, max_frames=FRAMES, scale="64x48"))):
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    return folder


def sealed(video, key, folder, **options):
    """(report, sentences told, lengths of the flow's sections); the bundle opens with every frame."""
    told: list[str] = []
    bundle = folder / "o.ncv"
    report = neuralcipher.seal(
        video, bundle, keys=[key], options=SealOptions(**{**SMALL, **UNTRAINED, **options}), tell=told.append
    )
    assert report.size_bytes == bundle.stat().st_size
    assert neuralcipher.open_bundle(bundle, folder / "o.y4m", keys=[key]).frames == FRAMES
    with BundleReader.open(bundle) as reader:
        reader.unlock([key])
        lengths = [section.length for section in reader.sections if section.kind == SECTION_FLOW]
    return report, told, lengths


@pytest.mark.parametrize(("suite", "target_bytes"), [("sealed", 1300), ("sealed", 3000), ("bare", 2000)])
def test_the_bundle_takes_at_most_the_size_and_uses_most_of_it(silent, key, tmp_path, suite, target_bytes):
    report, told, _ = sealed(silent, key, tmp_path, target_bytes=target_bytes, suite=suite)
    assert 0.75 * target_bytes <= report.size_bytes <= target_bytes
    assert report.warnings == ()
    assert not any("aimed" in sentence for sentence in told)


def test_training_within_a_budget_keeps_the_size(silent, key, tmp_path):
    report, _, _ = sealed(silent, key, tmp_path, target_bytes=3000, flow_options={}, budget_s=3)
    assert 0.75 * 3000 <= report.size_bytes <= 3000


def test_the_sound_counts(key, tmp_path):
    clip = neuralcipher.demo_clip()
    sound = len(read_audio(clip, probe(clip, max_frames=FRAMES).audio_end).to_bytes())
    target_bytes = sound + 2500
    report, _, lengths = sealed(clip, key, tmp_path, target_bytes=target_bytes)
    assert sound + 0.75 * 2500 <= report.size_bytes <= target_bytes
    with BundleReader.open(tmp_path / "o.ncv") as reader:
        reader.unlock([key])
        assert reader.section(SECTION_AUDIO).length == sound
    assert len(lengths) == 1


def test_a_bare_bundle_without_sound_does_not_count_it(key, tmp_path):
    report, _, _ = sealed(neuralcipher.demo_clip(), key, tmp_path, target_bytes=2500, suite="bare")
    assert 0.75 * 2500 <= report.size_bytes <= 2500
    (tmp_path / "o.ncv").unlink()
    with pytest.raises(UsageError, match="the sound takes"):
        sealed(neuralcipher.demo_clip(), key, tmp_path, target_bytes=2500, suite="bare", include_private=True)


@pytest.mark.parametrize("target_psnr_db", [25, 30.0])
def test_the_pictures_have_at_least_the_psnr_and_little_more(silent, key, tmp_path, target_psnr_db):
    report, _, _ = sealed(silent, key, tmp_path, target_psnr_db=target_psnr_db)
    assert target_psnr_db - 0.1 <= report.psnr_db <= target_psnr_db + 1
    assert report.warnings == ()


@pytest.mark.parametrize(
    ("options", "aimed"),
    [({"target_bytes": 1}, "aimed at 1 bytes, reached "), ({"target_psnr_db": 60}, "aimed at 60 dB, reached ")],
)
def test_what_cannot_be_met_is_reported_and_opens(silent, key, tmp_path, options, aimed):
    report, told, _ = sealed(silent, key, tmp_path, **options)
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith(aimed)
    assert report.warnings[0] in told


def test_a_size_that_cannot_be_met_gives_the_lowest_quality(silent, key, tmp_path):
    (tmp_path / "lowest").mkdir()
    lowest, _, _ = sealed(silent, key, tmp_path / "lowest", flow_options={"steps": 0, "quality": 0}, seed=1)
    report, _, _ = sealed(silent, key, tmp_path, target_bytes=300, seed=1)
    assert report.size_bytes == lowest.size_bytes
    assert f"reached {lowest.size_bytes:,}, " in report.warnings[0]


def test_several_segments_share_the_size_by_their_frames(silent, key, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "_SEGMENT_FRAMES", 3)
    report, _, lengths = sealed(silent, key, tmp_path, target_bytes=4000)  # of 2, 3 and 3 frames
    assert len(lengths) == 3
    assert 0.75 * 4000 <= report.size_bytes <= 4000
    assert max(lengths) < 2 * min(lengths)


def test_every_segment_aims_at_the_psnr(silent, key, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "_SEGMENT_FRAMES", 4)
    report, _, lengths = sealed(silent, key, tmp_path, target_psnr_db=28)
    assert len(lengths) == 2
    assert 28 - 0.1 <= report.psnr_db <= 29


def test_a_fit_that_departs_from_what_was_asked_says_so_once(silent, key, tmp_path, monkeypatch):
    """Both segments would be larger than raw; the user hears of it once, and the report keeps it."""
    monkeypatch.setattr(segments, "_SEGMENT_FRAMES", 4)
    monkeypatch.setattr(rate, "section_bytes", lambda attempt, size: 100 * attempt.size_bytes)
    report, told, lengths = sealed(silent, key, tmp_path)
    assert len(lengths) == 2
    sentence = "quality 60 would take more bytes than the raw video, so a lower quality is used"
    assert report.warnings == (sentence,)
    assert told.count(sentence) == 1


def test_a_size_below_the_sound_is_refused_and_nothing_is_left(key, tmp_path):
    clip = neuralcipher.demo_clip()
    sound = len(read_audio(clip, probe(clip, max_frames=FRAMES).audio_end).to_bytes())
    told: list[str] = []
    options = SealOptions(**SMALL, target_bytes=sound - 1)
    with pytest.raises(UsageError, match=f"the sound takes {sound:,} bytes, more than the {sound - 1:,} aimed at"):
        neuralcipher.seal(clip, tmp_path / "o.ncv", keys=[key], options=options, tell=told.append)
    assert list(tmp_path.iterdir()) == []
    assert told == []


def test_a_flow_that_cannot_aim_is_refused_and_nothing_is_left(silent, key, tmp_path):
    for target in ({"target_bytes": 3000}, {"target_psnr_db": 30}):
        options = SealOptions(flow="autoencoder", **target)
        with pytest.raises(UsageError, match="the flow autoencoder cannot aim") as caught:
            neuralcipher.seal(silent, tmp_path / "o.ncv", keys=[key], options=options)
        assert "latent" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target_bytes": 3000, "target_psnr_db": 30}, "cannot both be aimed at"),
        ({"target_bytes": 0}, "a size of 0 bytes"),
        ({"target_bytes": -5}, "a size of -5 bytes"),
        ({"target_psnr_db": 9.9}, "a PSNR of 9.9 dB"),
        ({"target_psnr_db": 60.1}, "a PSNR of 60.1 dB"),
        ({"target_psnr_db": float("nan")}, "a PSNR of nan dB"),
        ({"target_psnr_db": 30, "flow_options": {"quality": 50}}, "a target chooses the quality"),
        ({"target_bytes": 3000, "flow_options": {"quality": 50}}, "a target chooses the quality"),
    ],
)
def test_targets_that_make_no_sense_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        SealOptions(**options)


def test_a_miss_is_more_than_a_byte_or_a_tenth_of_a_decibel():
    size, psnr = SealOptions(target_bytes=20_000), SealOptions(target_psnr_db=35)
    assert missed(size, 20_000, 10.0) is None
    assert missed(size, 23_411, 10.0) == "aimed at 20,000 bytes, reached 23,411, the nearest that the flow latent came"
    assert missed(psnr, 1, 34.91) is None
    assert missed(psnr, 1, 34.8) == "aimed at 35 dB, reached 34.80, the nearest that the flow latent came"
    assert missed(SealOptions(), 10**9, 0.0) is None


@given(
    lengths=st.lists(st.integers(1, 256), min_size=1, max_size=6),
    room=st.integers(0, 400_000),
    sound_bytes=st.sampled_from([0, 1, 300, 70_000]),
    bare=st.booleans(),
)
@settings(max_examples=60)
def test_segments_that_use_their_shares_fill_the_file_to_the_size(lengths, room, sound_bytes, bare):
    key = Key.generate()
    metadata = {"tool": "x" * 20}
    target_bytes = 760 + 100 * len(lengths) + sound_bytes + sound_bytes // 1000 + room
    plan = SizePlan(target_bytes, metadata, sound_bytes, "chacha20", "latent")
    file = io.BytesIO()
    writer = BundleWriter.create_bare(file, key) if bare else BundleWriter.create_sealed(file, [key])
    shares = []
    for number, length in enumerate(lengths):
        share = plan.share(writer, number, lengths[number:], 33)
        shares.append(share)
        writer.add_section(SECTION_GENERATOR, number, bytes(33), name="chacha20")
        writer.add_section(SECTION_FLOW, number, bytes(share), name="latent", frames=length)
    if sound_bytes:
        writer.add_section(SECTION_AUDIO, 0, bytes(sound_bytes))
    writer.finish(metadata)
    size = len(file.getvalue())
    spare = 40 + 12 * len(lengths)  # lengths in the directory that turn out shorter than planned
    assert target_bytes - spare <= size <= target_bytes
    for share, length in zip(shares, lengths, strict=True):
        assert share == pytest.approx(sum(shares) * length / sum(lengths), abs=spare)


@pytest.mark.parametrize("number", [0, 2])
def test_later_segments_take_what_earlier_ones_left_or_took_too_much(number):
    plan = SizePlan(50_000, {}, 0, "chacha20", "latent")
    key, lengths = Key.generate(), [10, 10, 10, 10]
    file = io.BytesIO()
    writer = BundleWriter.create_sealed(file, [key])
    for at in range(4):
        share = plan.share(writer, at, lengths[at:], 33)
        used = random.Random(at).choice([share // 2, share * 3 // 2]) if at == number else share
        writer.add_section(SECTION_GENERATOR, at, bytes(33), name="chacha20")
        writer.add_section(SECTION_FLOW, at, bytes(used), name="latent", frames=10)
    writer.finish({})
    assert 50_000 - 100 <= len(file.getvalue()) <= 50_000


def test_the_parameters_of_the_trained_generator_are_as_long_as_planned():
    shape = (8, 8, 16)
    z0 = torch.randint(0, 256, shape, dtype=torch.uint8)
    generator = AutoencoderGenerator.train(
        shape, seed=bytes(32), z0=z0, progress=lambda done: None, config=AutoencoderConfig(steps=0)
    )
    assert len(generator.to_bytes()) == job._GENERATOR_BYTES["autoencoder"]


def test_the_plan_says_what_will_take_how_long():
    info = probe(neuralcipher.demo_clip()).info  # 60 frames of 320x180: 3.456 megapixels, 17 s of coding
    size = "60 frames of 320x180, 3.5 megapixels: "
    for options, sentence in [
        (
            SealOptions(),
            "about 55 s (preset balanced: 16 s per megapixel, at least 5 s), of which coding takes about 17 s",
        ),
        (SealOptions(budget_s=3), "coding takes about 17 s, whatever the budget of 3.0 s (as asked)"),
        (
            SealOptions(budget_s=60, target_psnr_db=30),
            "coding takes about 17 to 86 s to meet the target, whatever the budget of 60 s (as asked)",
        ),
        (
            SealOptions(budget_s=100, target_bytes=10**5),
            "about 100 s (as asked), of which coding takes about 17 to 86 s to meet the target",
        ),
        (SealOptions(flow_options={"steps": 7}), "coding takes about 17 s, then 7 steps of training"),
    ]:
        assert plan_sentence(info, options, codes=True) == size + sentence
    assert plan_sentence(info, SealOptions(budget_s=9), codes=False) == f"{size}fitting for about 9.0 s (as asked)"


def test_presets_are_in_order_and_leave_time_to_code():
    assert list(PRESETS) == ["fast", "balanced", "best"]
    assert sorted(PRESETS.values()) == list(PRESETS.values())
    assert [SealOptions(preset=name).seconds(10**7) for name in PRESETS] == [50, 160, 800]
    assert SealOptions(preset="best").seconds(100) == 5
