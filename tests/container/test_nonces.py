"""No AEAD key ever meets a nonce twice, whatever is written: the one law on which ChaCha20-Poly1305 and GCM rest."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from bundle_parts import CHEAP, KEY, OTHER, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from small_chunks import CHUNK, small_chunks

from neuralcipher.container import AEAD_NAMES, BundleWriter, add_slot, checkpoint, copy_with_slots, remove_slot
from neuralcipher.container import stream as container_stream
from neuralcipher.container.checkpoint import CheckpointCipher
from neuralcipher.container.stream import StreamWriter, payload_aead
from neuralcipher.keys import BundleKey, Passphrase, seal_slot
from neuralcipher.keys import slots as key_slots

_SALT = bytes(range(60, 92))
Pairs = list[tuple[bytes, bytes]]


@contextmanager
def recorded() -> Iterator[Pairs]:
    """Every (key, nonce) that an AEAD of a payload, a slot or a checkpoint encrypts with."""
    pairs: Pairs = []

    def recording(kind: Any) -> Any:
        class Recorded:
            def __init__(self, key: bytes) -> None:
                self._key, self._aead = bytes(key), kind(key)

            def encrypt(self, nonce: bytes, data: Any, associated: bytes | None) -> bytes:
                pairs.append((self._key, bytes(nonce)))
                sealed: bytes = self._aead.encrypt(nonce, data, associated)
                return sealed

            def decrypt(self, nonce: bytes, data: Any, associated: bytes | None) -> bytes:
                plain: bytes = self._aead.decrypt(nonce, data, associated)
                return plain

        return Recorded

    with (
        mock.patch.object(container_stream, "ChaCha20Poly1305", recording(container_stream.ChaCha20Poly1305)),
        mock.patch.object(container_stream, "AESGCM", recording(container_stream.AESGCM)),
        mock.patch.object(checkpoint, "ChaCha20Poly1305", recording(checkpoint.ChaCha20Poly1305)),
        mock.patch.object(key_slots, "ChaCha20Poly1305", recording(key_slots.ChaCha20Poly1305)),
    ):
        yield pairs


def check(pairs: Pairs) -> None:
    assert pairs
    assert len(set(pairs)) == len(pairs)
    assert all(len(key) == 32 and len(nonce) == 12 for key, nonce in pairs)


sizes = st.integers(0, 3 * CHUNK) | st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])


@settings(max_examples=300)
@given(st.lists(sizes, max_size=12), st.sampled_from(AEAD_NAMES))
def test_any_sequence_of_writes_counts_up_and_ends_once(lengths: list[int], aead: str) -> None:
    key = bytes(range(32))
    with small_chunks(), recorded() as pairs:
        writer = StreamWriter(io.BytesIO(), payload_aead(aead, key))  # type: ignore[arg-type]
        for length in lengths:
            writer.write(bytes(length))
        writer.close()
        count = max(1, -(-sum(lengths) // CHUNK))
    check(pairs)
    assert [nonce[:11] for _, nonce in pairs] == [i.to_bytes(11, "big") for i in range(count)]
    assert [nonce[11] for _, nonce in pairs] == [0] * (count - 1) + [1]


credentials = st.sampled_from([(KEY,), (OTHER,), (KEY, OTHER), (KEY, Passphrase("a")), (Passphrase("a"), KEY)])
steps = st.lists(
    st.tuples(st.just("seal"), credentials, st.sampled_from(AEAD_NAMES))
    | st.tuples(st.just("again"), st.integers(0, 9), st.sampled_from(AEAD_NAMES))
    | st.tuples(st.just("keep"), st.integers(0, 9), st.sampled_from(["header", "fit-000000"]))
    | st.tuples(st.just("section"), st.integers(0, 9), sizes)
    | st.tuples(st.just("finish"), st.integers(0, 9), st.none())
    | st.tuples(st.just("rekey"), st.integers(0, 9), st.booleans()),
    max_size=16,
)


class Workshop:
    """Several bundles at once: begun, written to in any order, finished, given other keys."""

    def __init__(self) -> None:
        self._open: list[tuple[io.BytesIO, BundleWriter]] = []
        self._done: list[bytes] = []
        self._shared = BundleKey(bytes(range(9, 41)))
        self._sections = 0

    def seal(self, owners: Any, aead: str) -> None:
        file = io.BytesIO()
        self._open.append((file, BundleWriter.create_sealed(file, owners, aead=aead, argon2=CHEAP)))

    def again(self, number: int, aead: str) -> None:
        """One bundle key for several bundles, which only fresh salts keep apart."""
        file = io.BytesIO()
        slots = [seal_slot(KEY, self._shared) for _ in range(1 + number % 2)]
        salt = _SALT if number % 3 else None  # a sealing that goes on keeps its salt
        self._open.append((file, BundleWriter.create_with_slots(file, self._shared, slots, aead=aead, salt=salt)))

    def keep(self, number: int, name: str) -> None:
        """A file of the checkpoint, written again and again under one bundle key."""
        CheckpointCipher(self._shared, _SALT).seal(name, bytes(number))

    def section(self, number: int, size: int) -> None:
        if self._open:
            self._sections += 1
            self._open[number % len(self._open)][1].add_section("flow", self._sections, bytes(size))

    def finish(self, number: int, _: None = None) -> None:
        if self._open:
            file, writer = self._open.pop(number % len(self._open))
            writer.finish({})
            self._done.append(file.getvalue())

    def rekey(self, number: int, remove: bool) -> None:
        if self._done:
            reader = opened(self._done[number % len(self._done)])
            reader.unlock([KEY, OTHER])
            slots = add_slot(reader.slots, reader.bundle_key, KEY)
            file = io.BytesIO()
            copy_with_slots(reader, remove_slot(slots, 0) if remove else slots, file)
            self._done.append(file.getvalue())


@settings(max_examples=150)
@given(steps)
def test_no_pair_is_used_twice_across_bundles(program: list[tuple[str, Any, Any]]) -> None:
    with small_chunks(), recorded() as pairs:
        workshop = Workshop()
        workshop.seal((KEY,), AEAD_NAMES[0])
        for name, first, second in program:
            getattr(workshop, name)(first, second)
        for _ in range(len(program) + 1):
            workshop.finish(0)
    check(pairs)
