"""The sound of a bundle in a file of its own: packet for packet, in what can hold it, and little else read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import pytest

import neuralcipher
from neuralcipher import Key
from neuralcipher.container import BundleWriter
from neuralcipher.container.format import Source
from neuralcipher.errors import NeuralCipherError, OutputExistsError, UsageError, WrongKeyError
from neuralcipher.pipeline.extracting import extract_audio
from neuralcipher.video.metadata import AudioTrack
from neuralcipher.video.reading import read_audio
from neuralcipher.video.soundfile import usual_suffix

KEY = Key(bytes(range(32)))


def bundle(path: Path, sound: AudioTrack | None, *, filling: int = 0, bare: bool = False) -> Path:
    """A bundle of sound, and of `filling` bytes in front of it and behind it."""
    with path.open("wb") as file:
        writer = BundleWriter.create_bare(file, KEY) if bare else BundleWriter.create_sealed(file, [KEY])
        writer.add_section("flow", 0, bytes(filling))
        if sound is not None:
            writer.add_section("audio", 0, sound.to_bytes())
        writer.add_section("flow", 1, bytes(filling))
        writer.finish({})
    return path


def sung(path: Path, codec: str) -> AudioTrack:
    """Half a second of a tone in a codec, as a bundle would hold it; Matroska holds them all."""
    import numpy as np

    with av.open(str(path), "w") as output:
        pictures = output.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 16, 16, "yuv420p"
        voice = output.add_stream(codec, rate=48000, layout="stereo", options={"strict": "experimental"})
        for packet in pictures.encode(av.VideoFrame(16, 16, "yuv420p")):
            output.mux(packet)
        output.mux(pictures.encode(None))
        wave = (8000 * np.sin(np.arange(24000) / 17)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None, :], format="s16", layout="stereo")
        frame.sample_rate = 48000
        for packet in [*voice.encode(frame), *voice.encode(None)]:
            if packet.size:  # the last one of FLAC is empty
                output.mux(packet)
    track = read_audio(path)
    assert track is not None
    return track


CODECS = {
    "aac": ("aac", [".m4a", ".mka", ".aac"]),
    "ac3": ("ac3", [".ac3", ".m4a", ".mka"]),
    "alac": ("alac", [".m4a", ".mka"]),
    "flac": ("flac", [".flac", ".mka", ".oga"]),
    "libmp3lame": ("mp3", [".mp3", ".mka"]),
    "libopus": ("opus", [".opus", ".mka", ".ogg"]),
    "vorbis": ("vorbis", [".ogg", ".mka"]),
    "mp2": ("mp2", [".mp2", ".mka"]),
    "pcm_s16le": ("pcm_s16le", [".wav", ".mka"]),
}


def packets_in(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


@pytest.mark.parametrize("coder", CODECS)
def test_packets_come_out_as_they_went_in(coder: str, tmp_path: Path) -> None:
    codec, suffixes = CODECS[coder]
    track = sung(tmp_path / "v.mkv", coder)
    assert track.codec == codec
    source = bundle(tmp_path / "v.ncv", track)
    for suffix in suffixes:
        report = extract_audio(source, tmp_path / f"s{suffix}", keys=[KEY])
        assert report.packets == len(track.packets)
        found = packets_in(tmp_path / f"s{suffix}")
        if suffix == ".wav":  # has no packets, only samples
            assert b"".join(found) == b"".join(packet.data for packet in track.packets)
        elif suffix == ".aac":  # a header of 7 bytes each, which FFmpeg leaves on
            assert [packet[7:] for packet in found] == [packet.data for packet in track.packets]
        else:
            assert found == [packet.data for packet in track.packets]
    report = extract_audio(source, keys=[KEY])
    assert report.output == str(tmp_path / f"v{suffixes[0] if codec != 'ac3' else '.ac3'}")
    assert usual_suffix(track) == Path(report.output).suffix


def test_times_and_what_decoders_drop_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "v.ncv"
    track = read_audio(neuralcipher.demo_clip())
    assert track is not None
    for suffix in (".m4a", ".mka"):
        bundle(source, track)
        extract_audio(source, tmp_path / f"s{suffix}", keys=[KEY])
        again = read_audio(tmp_path / f"s{suffix}")
        assert again is not None
        assert again.extradata == track.extradata
        unit, own = again.time_base[0] / again.time_base[1], track.time_base[0] / track.time_base[1]
        times = [packet.pts * unit for packet in again.packets]
        assert times == pytest.approx([packet.pts * own for packet in track.packets], abs=0.001)


def test_late_and_early_sound_keeps_its_place(tmp_path: Path) -> None:
    track = read_audio(neuralcipher.demo_clip())
    assert track is not None
    early = replace(
        track, skip_start=1024, packets=tuple(replace(p, pts=p.pts - 1024, dts=p.dts - 1024) for p in track.packets)
    )
    late = replace(track, packets=tuple(replace(p, pts=p.pts + 96000, dts=p.dts + 96000) for p in track.packets))
    for sound, first in ((early, -1024), (late, 96000)):
        extract_audio(bundle(tmp_path / "v.ncv", sound), tmp_path / "s.m4a", keys=[KEY], force=True)
        again = read_audio(tmp_path / "s.m4a")
        assert again is not None
        assert again.packets[0].pts == first
        assert [p.data for p in again.packets] == [p.data for p in sound.packets]


def test_formats_that_cannot_hold_the_sound_are_refused_naming_those_that_can(tmp_path: Path) -> None:
    track = read_audio(neuralcipher.demo_clip())
    assert track is not None
    source = bundle(tmp_path / "v.ncv", track)
    for name, sentence, hint in [
        ("s.mp3", r"the sound is aac, which a .mp3 file cannot hold", ".aac, .m4a or .mka"),
        ("s.wav", r"which a .wav file cannot hold", ".aac, .m4a or .mka"),
        ("s.txt", r"sound cannot be written as .txt", ".m4a"),
        ("s", r"under a name without a suffix", ".m4a"),
    ]:
        with pytest.raises(UsageError, match=sentence) as caught:
            extract_audio(source, tmp_path / name, keys=[KEY])
        assert hint in caught.value.hint
    with pytest.raises(UsageError, match="both an input and the output"):
        extract_audio(bundle(tmp_path / "x.mka", track), tmp_path / "x.mka", keys=[KEY], force=True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["v.ncv", "x.mka"]


def test_no_sound_another_key_and_a_file_that_is_there(tmp_path: Path) -> None:
    track = read_audio(neuralcipher.demo_clip())
    assert track is not None
    for silent in (None, replace(track, packets=())):
        with pytest.raises(NeuralCipherError, match=r"v.ncv has no sound") as caught:
            extract_audio(bundle(tmp_path / "v.ncv", silent), tmp_path / "s.m4a", keys=[KEY])
        assert caught.value.exit_code == 1
    source = bundle(tmp_path / "v.ncv", track)
    with pytest.raises(WrongKeyError):
        extract_audio(source, tmp_path / "s.m4a", keys=[Key(bytes(32))])
    (tmp_path / "s.m4a").write_text("mine")
    with pytest.raises(OutputExistsError):
        extract_audio(source, tmp_path / "s.m4a", keys=[KEY])
    assert (tmp_path / "s.m4a").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["s.m4a", "v.ncv"]
    bare = bundle(tmp_path / "b.ncv", track, bare=True)
    assert extract_audio(bare, tmp_path / "b.m4a", keys=[]).codec == "aac"


def test_nothing_but_the_sound_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = read_audio(neuralcipher.demo_clip())
    assert track is not None
    source = bundle(tmp_path / "v.ncv", track, filling=40 * 65_536)
    reads: list[int] = []
    read = Source.read

    def counted(self: Source, offset: int, length: int) -> bytes:
        reads.append(length)
        return read(self, offset, length)

    monkeypatch.setattr(Source, "read", counted)
    extract_audio(source, tmp_path / "s.m4a", keys=[KEY])
    chunks_of_sound = len(track.to_bytes()) // 65_536 + 2
    assert sum(reads) < (chunks_of_sound + 3) * 65_552
    assert source.stat().st_size > 80 * 65_536


def test_it_needs_no_torch() -> None:
    code = "import sys, neuralcipher.pipeline.extracting; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
