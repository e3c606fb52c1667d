"""Nothing that the child says is trusted: whatever it sends is one sentence, and never a crash of its parent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_children import alone, instead, says
from video_clips import BUNNY

from neuralcipher.errors import UsageError, VideoError
from neuralcipher.video import reading, session
from neuralcipher.video.reading import probe, read_audio, read_frames
from neuralcipher.video.wire import LENGTH, MAX_MESSAGE_BYTES, pack, unpack

__all__ = ["alone"]
PROBED = probe(BUNNY)
FIELDS = PROBED.info.to_dict()
FOUND = ("found", FIELDS, [], "aac", False, [False] * 3, PROBED.plan.matrix, bytes(FIELDS["frames"]))
DEEP = b"\x91" * 20_000 + b"\xc0"

LIES = {
    "noise": b"this is no message",
    "a length of 4 GiB": b"\xff\xff\xff\xff",
    "a length just above the limit": LENGTH.pack(MAX_MESSAGE_BYTES + 1),
    "deep lists": LENGTH.pack(len(DEEP)) + DEEP,
    "a map": LENGTH.pack(2) + b"\x81\xc0",
    "no kind": pack(),
    "a number": pack(3),
    "a timestamp": LENGTH.pack(7) + msgpack.packb([msgpack.Timestamp(1)])[:7],
    "a long list": pack("found", [0] * 20_000),
    "another answer": pack("picture", "rgb24", 3, True),
    "an unknown error": pack("oops", "x"),
    "an error without words": pack("video", 1, 2),
    "an error with too many words": pack("video", "a", "b", "c"),
    "nothing found": pack("found"),
    "fields that are none": pack("found", None, *FOUND[2:]),
    "a field less": pack("found", {k: v for k, v in FIELDS.items() if k != "pts"}, *FOUND[2:]),
    "a huge picture": pack("found", FIELDS | {"width": 65535}, *FOUND[2:]),
    "no picture": pack("found", FIELDS | {"height": 0}, *FOUND[2:]),
    "more frames than times": pack("found", FIELDS | {"frames": 10**7}, *FOUND[2:]),
    "a path for a name": pack("found", FIELDS | {"source_name": "../../x"}, *FOUND[2:]),
    "an unknown matrix": pack(*FOUND[:-2], 77, FOUND[-1]),
    "an unknown matrix of the video": pack("found", FIELDS | {"space": 77}, *FOUND[2:]),
    "a turn that is none": pack(*FOUND[:-3], [1, 2, 3], *FOUND[-2:]),
    "a change too few": pack(*FOUND[:-1], FOUND[-1][1:]),
    "changes that are none": pack(*FOUND[:-1], [0] * len(FOUND[-1])),
    "a warning that is none": pack(*FOUND[:2], [7], *FOUND[3:]),
    "a thousand warnings": pack(*FOUND[:2], ["x"] * 1000, *FOUND[3:]),
    "a codec that is none": pack(*FOUND[:3], "../x", *FOUND[4:]),
}


@pytest.mark.parametrize("name", LIES)
def test_a_hostile_childs_survey_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    instead(monkeypatch, says(LIES[name]))
    with pytest.raises(VideoError, match=r"the decoder of bunny.mp4 sent what is no answer"):
        probe(BUNNY)


def test_an_honest_sound_in_the_same_words_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, says(pack("tick"), pack("packets", [GOOD]), pack("packets", [GOOD]), pack("track", EMPTY)))
    heard = read_audio(BUNNY)
    assert heard is not None
    assert HEARD is not None
    assert replace(heard, packets=()) == replace(HEARD, packets=())
    assert [(p.pts, p.data) for p in heard.packets] == [(0, b"x")] * 2


def test_an_honest_survey_in_the_same_words_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, says(pack("tick"), pack(*FOUND)))
    assert probe(BUNNY) == PROBED


PICTURES = {
    "a survey": pack(*FOUND),
    "a row too short": pack("picture", "rgb24", 959, True),
    "a row too long": pack("picture", "rgb24", 1 << 30, True),
    "a negative row": pack("picture", "rgb24", -960, True),
    "an unknown layout": pack("picture", "yuv420p", 960, True),
    "a row of true": pack("picture", "rgb24", True, True),
    "few words": pack("picture", "rgb24"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_hostile_childs_pictures_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    instead(monkeypatch, says(PICTURES[name]))
    with pytest.raises(VideoError, match="sent what is no answer"):
        list(read_frames(BUNNY, PROBED))


def test_a_picture_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = probe(BUNNY, max_frames=1, scale=(2, 2))
    one = pack("picture", "rgb24", 6, True) + bytes(12)
    session.forget()
    instead(monkeypatch, says(one, one))
    with pytest.raises(VideoError, match="sent what is no answer"):
        list(read_frames(BUNNY, probed))


GOOD = [0, 0, 1024, True, b"x"]
HEARD = read_audio(BUNNY)
TRACK = replace(HEARD, packets=HEARD.packets[:2]).to_bytes() if HEARD else b""
EMPTY = replace(HEARD, packets=()).to_bytes() if HEARD else b""
SOUNDS = {
    "packets that are none": pack("packets", 7),
    "a short packet": pack("packets", [GOOD[:4]]),
    "a time beyond 64 bits": pack("packets", [[2**63, *GOOD[1:]]]),
    "a negative duration": pack("packets", [[0, 0, -1, True, b"x"]]),
    "data that is text": pack("packets", [[*GOOD[:4], "x"]]),
    "packets without a track": pack("packets", [GOOD]) + pack("track", None),
    "a track without packets": pack("packets", []) + pack("track", EMPTY),
    "a track that is noise": pack("packets", [GOOD]) + pack("track", b"noise"),
    "a track with packets of its own": pack("packets", [GOOD]) + pack("track", TRACK),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_a_hostile_childs_sound_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    instead(monkeypatch, says(SOUNDS[name]))
    with pytest.raises(VideoError, match="sent what is no answer"):
        read_audio(BUNNY)


def test_a_hostile_childs_sentence_cannot_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, says(pack("usage", "a\x1b[2Jb\nc" + "d" * 50_000, "\u202ee")))
    with pytest.raises(UsageError) as raised:
        probe(BUNNY)
    assert raised.value.message.startswith("a_[2Jb_cddd")
    assert len(raised.value.message) == 1000
    assert raised.value.hint == "_e"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=8) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(sorted(FIELDS)), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.integers(0, 6), values, values, st.sampled_from(sorted(FIELDS)))
def test_no_answer_makes_the_parent_fail_otherwise(at: int, value: Any, other: Any, field: str) -> None:
    parts: list[Any] = list(unpack(pack(*FOUND)[LENGTH.size :])[1:])
    parts[0] = {**parts[0], field: other}
    parts[at] = value
    parts = unpack(pack("found", *parts)[LENGTH.size :])[1:]
    for take in (reading._found, reading._packets, reading._track):
        take(parts)
        take([value])
