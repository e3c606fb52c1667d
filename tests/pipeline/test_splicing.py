"""Cutting and joining without training: what comes back is what was there, bit for bit, or a sentence says why not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import neuralcipher
from neuralcipher import Key, Passphrase, SealOptions
from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.errors import (
    CancelledError,
    NeuralCipherError,
    OutputExistsError,
    PayloadDamagedError,
    UnsupportedError,
    UsageError,
    WrongKeyError,
)
from neuralcipher.keys import Argon2Parameters
from neuralcipher.pipeline.opening import open_stream
from neuralcipher.pipeline.splicing import cut, join
from neuralcipher.pipeline.stored import stored_audio, stored_video
from neuralcipher.pipeline.upkeep import verify
from neuralcipher.video.metadata import AudioTrack, VideoInfo

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))
FAST = Argon2Parameters(t=1, m_kib=32, p=1)


def seal(path: Path, **options: Any) -> Path:
    """Nine frames in segments of three, with sound."""
    chosen: dict[str, Any] = {"max_frames": 9, "segment_frames": 3, "scale": "32x-1", "generator": "chacha20"}
    chosen |= {"flow_options": {"steps": 0}} if options.get("flow", "latent") != "latent" else {"budget_s": 0.1}
    neuralcipher.seal(neuralcipher.demo_clip(), path, keys=[KEY], options=SealOptions(**(chosen | options)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("splicing")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    return seal(folder / "whole.ncv")


@pytest.fixture(scope="module")
def parts(whole: Path, folder: Path) -> list[Path]:
    """Its three segments, each a bundle."""
    for number in range(3):
        cut(whole, folder / f"{number}.ncv", keys=[KEY], segments=str(number))
    return [folder / f"{number}.ncv" for number in range(3)]


def shown(bundle: Path, key: Key = KEY) -> list[bytes]:
    stream = io.BytesIO()
    open_stream(bundle, stream, keys=[key])
    return stream.getvalue().split(b"FRAME\n")[1:]


def described(bundle: Path) -> tuple[VideoInfo, AudioTrack | None, dict[str, Any]]:
    with BundleReader.open(bundle) as reader:
        reader.unlock([KEY])
        return stored_video(reader), stored_audio(reader), reader.metadata


def with_metadata(source: Path, target: Path, *, keys: Sequence[Key] = (KEY,), **changes: Any) -> Path:
    """The same bundle with other metadata, or another sound."""
    with BundleReader.open(source) as reader, target.open("wb") as file:
        reader.unlock([KEY])
        sound = changes.pop("sound", None)
        filling = changes.pop("filling", b"")
        writer = BundleWriter.create_with_slots(file, reader.bundle_key, reader.slots, salt=reader.header.salt)
        for section in reader.sections:
            data = reader.read_section(section)
            if section.kind == "audio" and sound is not None:
                data = sound.to_bytes()
            writer.add_section(section.kind, section.segment, data, **section.attributes)
        if filling:
            writer.add_section("filling", 0, filling)
        writer.finish({name: value for name, value in (reader.metadata | changes).items() if value is not None})
    return target


@pytest.mark.parametrize("flow", ["latent", "mlp"])
def test_parts_joined_are_the_whole_bit_for_bit(flow: str, tmp_path: Path) -> None:
    sealed = seal(tmp_path / "sealed.ncv", flow=flow)
    sound = described(sealed)[1]
    assert sound is not None
    whole = with_metadata(sealed, tmp_path / "whole.ncv", sound=replace(sound, skip_start=1024, skip_end=77))
    everything, (info, sound, metadata) = shown(whole), described(whole)
    for middle in (1, 2):
        begin, end = tmp_path / f"begin{middle}.ncv", tmp_path / f"end{middle}.ncv"
        cut(whole, begin, keys=[KEY], segments=range(middle))
        cut(whole, end, keys=[KEY], segments=f"{middle}-")
        assert shown(begin) == everything[: 3 * middle]
        assert shown(end) == everything[3 * middle :]
        report = join([begin, end], tmp_path / f"again{middle}.ncv", keys=[KEY])
        assert (report.segments, report.frames, report.left_out_packets) == (3, 9, 0)
        again = described(tmp_path / f"again{middle}.ncv")
        assert again[:2] == (info, sound)
        assert again[2]["video"] == metadata["video"]
        assert shown(tmp_path / f"again{middle}.ncv") == everything
        assert verify(tmp_path / f"again{middle}.ncv", keys=[KEY]) == []
    neuralcipher.open_bundle(tmp_path / "again1.ncv", tmp_path / "again1.mp4", keys=[KEY])
    neuralcipher.open_bundle(whole, tmp_path / "whole.mp4", keys=[KEY])
    assert (tmp_path / "again1.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_three_parts_and_parts_of_parts_join_too(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    join(parts[1:], tmp_path / "end.ncv", keys=[KEY])
    cut(tmp_path / "end.ncv", tmp_path / "last.ncv", keys=[KEY], segments="1")
    join([parts[0], parts[1], tmp_path / "last.ncv"], tmp_path / "again.ncv", keys=[KEY])
    assert described(tmp_path / "again.ncv")[:2] == described(whole)[:2]
    assert shown(tmp_path / "again.ncv") == shown(whole)
    salt = BundleReader.open(whole).header.salt
    assert described(tmp_path / "again.ncv")[2]["origins"] == [{"bundle": salt, "frames": 9, "start": 0}]


def test_a_cut_begins_at_zero_with_the_sound_of_its_time(whole: Path, parts: list[Path]) -> None:
    info, sound, _ = described(whole)
    assert sound is not None
    places = []
    for number, part in enumerate(parts):
        cut_info, cut_sound, _ = described(part)
        assert cut_sound is not None
        shift = info.pts[3 * number]
        assert cut_info == replace(info, pts=tuple(time - shift for time in info.pts[3 * number : 3 * number + 3]))
        at = [packet.data for packet in sound.packets].index(cut_sound.packets[0].data)
        same = sound.packets[at : at + len(cut_sound.packets)]
        assert [packet.data for packet in cut_sound.packets] == [packet.data for packet in same]
        moved = [one.pts - other.pts for one, other in zip(same, cut_sound.packets, strict=True)]
        clock = shift * info.time_base[0] / info.time_base[1] * sound.time_base[1] / sound.time_base[0]
        assert set(moved) == {round(clock)}
        if number:
            assert 0 <= cut_sound.packets[0].pts < 1024
        places.append((at, at + len(same)))
    assert [place[0] for place in places[1:]] + [len(sound.packets)] == [place[1] for place in places]
    assert places[0][0] == 0


def test_the_result_has_its_own_bundle_key_and_the_slots_of_the_keys_given(whole: Path, tmp_path: Path) -> None:
    phrase = Passphrase("some words that nobody guesses")
    report = cut(whole, tmp_path / "p.ncv", keys=[KEY, OTHER, phrase], segments="1-2", argon2=FAST)
    assert report.dropped_slots == 0
    with BundleReader.open(whole) as old, BundleReader.open(tmp_path / "p.ncv") as new:
        old.unlock([KEY])
        assert [slot.kind for slot in new.slots] == ["key", "key", "passphrase"]
        for credential in (KEY, OTHER, phrase):
            new.unlock([credential])
        assert new.bundle_key.reveal() != old.bundle_key.reveal()
        assert new.header.salt != old.header.salt
        assert new.aead == old.aead
    assert shown(tmp_path / "p.ncv", OTHER) == shown(whole)[3:]
    fewer = cut(tmp_path / "p.ncv", tmp_path / "q.ncv", keys=[OTHER], segments="0")
    assert fewer.dropped_slots == 2
    with pytest.raises(WrongKeyError):
        cut(tmp_path / "q.ncv", tmp_path / "r.ncv", keys=[KEY], segments="0")


@pytest.mark.parametrize("text", ["", "a", "-1", "1-0", "3", "0-3", "3-", "0,1", "1--2", "0-1-2", "0x1", "1:2", "٣"])
def test_other_segments_are_refused(whole: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        cut(whole, tmp_path / "p.ncv", keys=[KEY], segments=text)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("numbers", [range(0), range(2, 1), range(0, 4), range(-1, 2), range(0, 3, 2)])
def test_other_ranges_of_segments_are_refused(whole: Path, tmp_path: Path, numbers: range) -> None:
    with pytest.raises(UsageError, match="there are no segments"):
        cut(whole, tmp_path / "p.ncv", keys=[KEY], segments=numbers)


def test_the_same_twice_overlaps_and_disorder_are_refused_by_name(
    whole: Path, parts: list[Path], tmp_path: Path
) -> None:
    cut(whole, tmp_path / "begin.ncv", keys=[KEY], segments="0-1")
    cut(whole, tmp_path / "end.ncv", keys=[KEY], segments="1-2")
    for pair, sentence in [
        ((whole, whole), r"whole.ncv repeats frames of .*whole.ncv: 0 to 8"),
        ((tmp_path / "begin.ncv", tmp_path / "end.ncv"), r"end.ncv repeats frames of .*begin.ncv: 3 to 5"),
        ((whole, parts[1]), r"1.ncv repeats frames of .*whole.ncv: 3 to 5"),
        ((parts[2], parts[0]), r"0.ncv holds earlier frames of the video of which .*2.ncv holds later ones"),
        ((parts[0], parts[2], parts[1]), r"1.ncv holds earlier frames of the video of which .*2.ncv"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            join(pair, tmp_path / "o.ncv", keys=[KEY])
        assert not (tmp_path / "o.ncv").exists()
    join([parts[2], parts[0], parts[0]], tmp_path / "o.ncv", keys=[KEY], allow_overlap=True)
    everything = shown(whole)
    assert shown(tmp_path / "o.ncv") == everything[6:] + everything[:3] + everything[:3]
    info, sound, _ = described(tmp_path / "o.ncv")
    gaps = {second - first for first, second in pairwise(info.pts)}
    assert len(gaps) == 1
    assert sound is not None
    starts = [packet.pts for packet in sound.packets]
    assert all(second - first >= 1024 for first, second in pairwise(starts))
    join([parts[0], parts[2]], tmp_path / "gap.ncv", keys=[KEY])  # a part left out is no disorder
    assert shown(tmp_path / "gap.ncv") == everything[:3] + everything[6:]


def test_other_videos_join_if_their_pictures_are_alike(whole: Path, tmp_path: Path) -> None:
    other = seal(tmp_path / "other.ncv", max_frames=4)
    report = join([other, whole], tmp_path / "both.ncv", keys=[KEY])
    assert report.frames == 13
    assert report.left_out_packets <= 3
    assert shown(tmp_path / "both.ncv") == shown(other) + shown(whole)
    info, sound, _ = described(tmp_path / "both.ncv")
    assert len({second - first for first, second in pairwise(info.pts)}) == 1
    (_, first, _), (_, second, _) = described(other), described(whole)
    assert sound is not None
    assert first is not None
    assert second is not None
    assert len(sound.packets) == len(first.packets) + len(second.packets) - report.left_out_packets
    ends = [packet.pts + packet.duration for packet in sound.packets]
    assert all(end <= packet.pts for end, packet in zip(ends, sound.packets[1:], strict=False))
    neuralcipher.open_bundle(tmp_path / "both.ncv", tmp_path / "both.mp4", keys=[KEY])


def test_what_differs_is_said(whole: Path, tmp_path: Path) -> None:
    video = described(whole)[2]["video"]
    small = seal(tmp_path / "small.ncv", scale="16x-1", max_frames=2)
    with pytest.raises(UsageError, match=r"whole.ncv and .*small.ncv differ in size \(32x18 and 16x8\)"):
        join([whole, small], tmp_path / "o.ncv", keys=[KEY])
    for field, value, sentence in [
        ("sample_aspect", [4, 3], r"pixel aspect \(1:1 and 4:3\)"),
        ("primaries", 9, "colour primaries"),
        ("transfer", 13, "transfer"),
        ("space", 9, "colour matrix"),
        ("color_range", 2, r"colour range \(limited and full\)"),
        ("pixel_family", "444", r"chroma \(420 and 444\)"),
    ]:
        with_metadata(whole, tmp_path / "x.ncv", video=video | {field: value})
        with pytest.raises(UsageError, match=sentence):
            join([whole, tmp_path / "x.ncv"], tmp_path / "o.ncv", keys=[KEY], allow_overlap=True)


def test_sound_of_another_coding_is_refused_or_left_out(whole: Path, tmp_path: Path) -> None:
    sound = described(whole)[1]
    assert sound is not None
    for changes, sentence in [
        ({"codec": "mp3"}, r"codec \(aac and mp3\)"),
        ({"sample_rate": 8000}, "sampling"),
        ({"layout": "mono"}, "channels"),
        ({"extradata": b"\x11\x90"}, "settings of the coder"),
    ]:
        with_metadata(whole, tmp_path / "x.ncv", sound=replace(sound, **changes))
        with pytest.raises(UsageError, match=sentence):
            join([whole, tmp_path / "x.ncv"], tmp_path / "o.ncv", keys=[KEY], allow_overlap=True)
    join([whole, tmp_path / "x.ncv"], tmp_path / "o.ncv", keys=[KEY], allow_overlap=True, sound=False)
    assert described(tmp_path / "o.ncv")[1] is None
    assert len(shown(tmp_path / "o.ncv")) == 18


def test_variable_frame_times_come_back_from_parts(whole: Path, tmp_path: Path) -> None:
    info, _, metadata = described(whole)
    pts = (5, 700, 1100, 4000, 4001, 4900, 5000, 9000, 9001)
    vfr = with_metadata(whole, tmp_path / "v.ncv", video=replace(info, pts=pts).to_dict())
    assert metadata["video"] == info.to_dict()
    for number in range(3):
        cut(vfr, tmp_path / f"{number}.ncv", keys=[KEY], segments=str(number))
    assert described(tmp_path / "0.ncv")[0].pts == (5, 700, 1100)
    assert described(tmp_path / "1.ncv")[0].pts == (0, 1, 900)
    assert described(tmp_path / "0.ncv")[2]["last_duration"] == 4000 - 1100
    join([tmp_path / f"{number}.ncv" for number in range(3)], tmp_path / "again.ncv", keys=[KEY])
    again = described(tmp_path / "again.ncv")
    assert again[0].pts == pts
    assert again[:2] == described(vfr)[:2]
    assert "last_duration" not in again[2]


def test_flows_may_differ_from_segment_to_segment(parts: list[Path], tmp_path: Path) -> None:
    other = seal(tmp_path / "other.ncv", flow="mlp", max_frames=3)
    join([parts[0], other], tmp_path / "o.ncv", keys=[KEY])
    assert shown(tmp_path / "o.ncv") == shown(parts[0]) + shown(other)


def test_clocks_of_different_units_are_joined_exactly(whole: Path, tmp_path: Path) -> None:
    info, sound, _ = described(whole)
    assert sound is not None
    other = replace(info, time_base=(1, 30), pts=tuple(range(9)), average_rate=(30, 1))
    milliseconds = tuple(
        replace(packet, pts=21 * number, dts=21 * number, duration=21) for number, packet in enumerate(sound.packets)
    )
    changed = replace(sound, time_base=(1, 1000), packets=milliseconds, skip_start=0)
    with_metadata(whole, tmp_path / "x.ncv", video=other.to_dict(), sound=changed)
    join([whole, tmp_path / "x.ncv"], tmp_path / "o.ncv", keys=[KEY], allow_overlap=True)
    joined, track, _ = described(tmp_path / "o.ncv")
    unit = joined.time_base[0] / joined.time_base[1]
    begin = float(info.end_time)
    assert [time * unit for time in joined.pts[9:]] == pytest.approx([begin + number / 30 for number in range(9)])
    assert [time * unit for time in joined.pts[:9]] == pytest.approx(
        [t * info.time_base[0] / info.time_base[1] for t in info.pts]
    )
    rate = joined.average_rate[0] / joined.average_rate[1]
    assert 9 / rate * 2 == pytest.approx(float(joined.duration_s), rel=0.01)
    assert track is not None
    assert track.time_base == (1, 48000)
    last = track.packets[-1]
    assert last.pts / 48000 == pytest.approx(begin + milliseconds[-1].pts / 1000, abs=0.001)
    assert last.duration == 21 * 48


def test_parts_without_sound_are_silent(whole: Path, tmp_path: Path) -> None:
    """Sound that ends early."""
    sound = described(whole)[1]
    assert sound is not None
    short = with_metadata(whole, tmp_path / "short.ncv", sound=replace(sound, packets=sound.packets[:4]))
    for number in range(3):
        cut(short, tmp_path / f"{number}.ncv", keys=[KEY], segments=str(number))
    last = described(tmp_path / "2.ncv")[1]
    assert last is not None
    assert last.packets == ()
    neuralcipher.open_bundle(tmp_path / "2.ncv", tmp_path / "2.mp4", keys=[KEY])
    join([tmp_path / f"{number}.ncv" for number in range(3)], tmp_path / "again.ncv", keys=[KEY])
    assert described(tmp_path / "again.ncv")[:2] == described(short)[:2]


def test_sound_that_is_longer_than_its_pictures_ends_where_the_next_video_begins(whole: Path, tmp_path: Path) -> None:
    info, sound, _ = described(whole)
    assert sound is not None
    end = sound.packets[-1].pts + 1024
    tail = tuple(replace(sound.packets[-1], pts=end + 1024 * n, dts=end + 1024 * n) for n in range(8))
    long = with_metadata(whole, tmp_path / "long.ncv", sound=replace(sound, packets=sound.packets + tail))
    report = join([long, whole], tmp_path / "o.ncv", keys=[KEY], allow_overlap=True)
    assert report.left_out_packets >= 8
    joined = described(tmp_path / "o.ncv")[1]
    assert joined is not None
    seam = float(info.end_time) * 48000
    before = [packet for packet in joined.packets if packet.pts < seam]
    assert [packet.data for packet in before] == [packet.data for packet in sound.packets[: len(before)]]
    first = next(packet for packet in joined.packets if packet.pts >= seam)
    assert first.data == sound.packets[first.pts - round(seam) > 0].data
    assert all(one.pts + one.duration <= other.pts for one, other in pairwise(joined.packets))


def test_silence_first_moves_the_sound_behind_it(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    sound = described(parts[0])[1]
    assert sound is not None
    silent = tmp_path / "silent.ncv"
    join([parts[1], parts[2]], silent, keys=[KEY], sound=False)
    report = join([silent, parts[0]], tmp_path / "o.ncv", keys=[KEY], allow_overlap=True)
    assert report.left_out_packets == 0
    info, track, _ = described(tmp_path / "o.ncv")
    assert track is not None
    assert track.skip_start == sound.skip_start
    begin = info.pts[6] * info.time_base[0] * 48000 // info.time_base[1]
    assert [packet.pts - begin for packet in track.packets] == [packet.pts for packet in sound.packets]


def test_sound_of_non_key_packets_is_cut_where_decoding_can_start(whole: Path, tmp_path: Path) -> None:
    sound = described(whole)[1]
    assert sound is not None
    packets = tuple(replace(packet, key=number % 4 == 0) for number, packet in enumerate(sound.packets))
    keyed = with_metadata(whole, tmp_path / "k.ncv", sound=replace(sound, packets=packets))
    cut(keyed, tmp_path / "a.ncv", keys=[KEY], segments="0")
    cut(keyed, tmp_path / "b.ncv", keys=[KEY], segments="1-2")
    begin, end = described(tmp_path / "a.ncv")[1], described(tmp_path / "b.ncv")[1]
    assert begin is not None
    assert end is not None
    assert end.packets[0].key
    assert [p.data for p in begin.packets + end.packets] == [p.data for p in packets]
    join([tmp_path / "a.ncv", tmp_path / "b.ncv"], tmp_path / "o.ncv", keys=[KEY])
    assert described(tmp_path / "o.ncv")[1] == described(keyed)[1]


def test_flows_that_were_trained_on_their_keystream_are_refused_by_name(whole: Path, tmp_path: Path) -> None:
    paper = seal(tmp_path / "paper.ncv", flow="autoencoder", max_frames=1)
    for attempt in (
        lambda: cut(paper, tmp_path / "o.ncv", keys=[KEY], segments="0"),
        lambda: join([whole, paper], tmp_path / "o.ncv", keys=[KEY]),
    ):
        with pytest.raises(UsageError, match=r"paper.ncv: the autoencoder flow was trained on its keystream"):
            attempt()
    assert [entry.name for entry in tmp_path.iterdir()] == ["paper.ncv"]


def test_bare_bundles_and_unknown_sections_are_refused(whole: Path, tmp_path: Path) -> None:
    bare = seal(tmp_path / "bare.ncv", suite="bare", max_frames=1)
    for bundles in ([bare, whole], [whole, bare]):
        with pytest.raises(UsageError, match=r"bare.ncv is bare"):
            join(bundles, tmp_path / "o.ncv", keys=[KEY])
    with pytest.raises(UsageError, match=r"bare.ncv is bare"):
        cut(bare, tmp_path / "o.ncv", keys=[KEY], segments="0")
    with_metadata(whole, tmp_path / "filled.ncv", filling=b"what is this")
    with pytest.raises(UnsupportedError, match=r"filled.ncv has a section of kind 'filling'"):
        cut(tmp_path / "filled.ncv", tmp_path / "o.ncv", keys=[KEY], segments="0")


def test_join_says_which_bundle_the_key_does_not_open(whole: Path, tmp_path: Path) -> None:
    cut(whole, tmp_path / "own.ncv", keys=[KEY], segments="0")
    cut(whole, tmp_path / "other.ncv", keys=[KEY, OTHER], segments="1")
    cut(tmp_path / "other.ncv", tmp_path / "others.ncv", keys=[OTHER], segments="0")
    with pytest.raises(WrongKeyError, match=r"no key slot of others.ncv opens"):
        join([tmp_path / "own.ncv", tmp_path / "others.ncv"], tmp_path / "o.ncv", keys=[KEY])
    join([tmp_path / "own.ncv", tmp_path / "others.ncv"], tmp_path / "o.ncv", keys=[KEY, OTHER])
    assert shown(tmp_path / "o.ncv", OTHER) == shown(tmp_path / "o.ncv", KEY) == shown(whole)[:6]
    (tmp_path / "deep").mkdir()
    (tmp_path / "others.ncv").rename(tmp_path / "deep" / "own.ncv")
    with pytest.raises(WrongKeyError, match=r"deep/own.ncv: no key slot"):
        join([tmp_path / "own.ncv", tmp_path / "deep" / "own.ncv"], tmp_path / "p.ncv", keys=[KEY])


def test_outputs_are_checked_before_and_whole_or_absent(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mine.ncv").write_text("mine")
    for attempt in (
        lambda **more: cut(whole, tmp_path / "mine.ncv", keys=[KEY], segments="0", **more),
        lambda **more: join(parts, tmp_path / "mine.ncv", keys=[KEY], **more),
    ):
        with pytest.raises(OutputExistsError):
            attempt()
        assert (tmp_path / "mine.ncv").read_text() == "mine"
    with pytest.raises(UsageError, match="both an input and the output"):
        join(parts, parts[1], keys=[KEY], force=True)
    with pytest.raises(UsageError, match="two bundles or more"):
        join(parts[:1], tmp_path / "o.ncv", keys=[KEY])

    def stop(progress: Any) -> None:
        if progress.fraction > 0.5:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        join(parts, tmp_path / "o.ncv", keys=[KEY], progress=stop)
    with pytest.raises(CancelledError):
        cut(whole, tmp_path / "mine.ncv", keys=[KEY], segments="0-", progress=stop, force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.ncv"]
    assert (tmp_path / "mine.ncv").read_text() == "mine"
    assert cut(whole, keys=[KEY], segments="1-2").bundle == str(whole.with_name("whole.1-2.ncv"))


@pytest.mark.parametrize(
    "origins",
    [
        7,
        [],
        [7],
        [{"bundle": bytes(32), "start": 0, "frames": 8}],
        [{"bundle": bytes(31), "start": 0, "frames": 9}],
        [{"bundle": bytes(32), "start": -1, "frames": 9}],
        [{"bundle": bytes(32), "start": 0, "frames": 0}, {"bundle": bytes(32), "start": 0, "frames": 9}],
        [{"bundle": bytes(32), "start": 0, "frames": 9, "more": 1}],
        [{"bundle": bytes(32), "start": True, "frames": 9}],
    ],
)
def test_origins_that_cannot_be_are_refused_here_and_ignored_by_opening(
    whole: Path, tmp_path: Path, origins: Any
) -> None:
    wrong = with_metadata(whole, tmp_path / "x.ncv", origins=origins)
    with pytest.raises(PayloadDamagedError, match="where its frames come from"):
        cut(wrong, tmp_path / "o.ncv", keys=[KEY], segments="0")
    assert verify(wrong, keys=[KEY]) == []


def test_unknown_metadata_is_tolerated(whole: Path, tmp_path: Path) -> None:
    newer = with_metadata(whole, tmp_path / "x.ncv", something={"new": [1, 2]}, last_duration=3)
    assert shown(newer) == shown(whole)
    cut(newer, tmp_path / "o.ncv", keys=[KEY], segments="2")
    assert set(described(tmp_path / "o.ncv")[2]) == {"video", "tool", "origins", "last_duration"}
    for wrong in (True, "3", 2**63):
        with_metadata(whole, tmp_path / "w.ncv", last_duration=wrong)
        with pytest.raises(PayloadDamagedError, match="how long its last frame"):
            cut(tmp_path / "w.ncv", tmp_path / "p.ncv", keys=[KEY], segments="2")


def test_times_and_counts_beyond_a_bundle_are_refused(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    info, _, _ = described(parts[0])
    far = replace(info, pts=tuple(2**63 - 3 + n for n in range(3)))
    with_metadata(parts[0], tmp_path / "far.ncv", video=far.to_dict(), origins=None)
    for pair in ([parts[1], tmp_path / "far.ncv"], [tmp_path / "far.ncv", parts[1]]):
        with pytest.raises(NeuralCipherError, match="64 bits"):
            join(pair, tmp_path / "o.ncv", keys=[KEY], allow_overlap=True)
    odd = replace(info, time_base=(1, 2**31 - 1))
    with_metadata(parts[0], tmp_path / "odd.ncv", video=odd.to_dict())
    with pytest.raises(NeuralCipherError, match="no common unit"):
        join([parts[1], tmp_path / "odd.ncv"], tmp_path / "p.ncv", keys=[KEY], allow_overlap=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuralcipher.pipeline.timelines.MAX_FRAMES", 8)
        with pytest.raises(NeuralCipherError, match="more than the 8 frames"):
            join(parts, tmp_path / "p.ncv", keys=[KEY])


def test_one_segment_is_held_at_a_time(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each flow section is written before the next is read."""
    events: list[str] = []
    read, add = BundleReader.read_section, BundleWriter.add_section

    def reading(self: BundleReader, section: Any, *more: Any) -> bytes:
        events.append(f"read {section.kind} {section.segment}")
        return read(self, section, *more)

    def adding(self: BundleWriter, kind: str, segment: int, data: Any, **more: Any) -> Any:
        events.append(f"wrote {kind} {segment}")
        return add(self, kind, segment, data, **more)

    monkeypatch.setattr(BundleReader, "read_section", reading)
    monkeypatch.setattr(BundleWriter, "add_section", adding)
    cut(whole, tmp_path / "o.ncv", keys=[KEY], segments="1-2")
    assert "read flow 0" not in events
    flows = [event for event in events if " flow " in event]
    assert flows == ["read flow 1", "wrote flow 0", "read flow 2", "wrote flow 1"]
