"""Every way to damage a small bundle, counted: `python tests/container/damage.py` prints the numbers.

Chunks have 48 bytes here instead of 65,536, so that a bundle of many is small enough to flip every bit of it.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Literal

from bundle_parts import CHEAP, KEY, METADATA, OTHER, content, opened, payload_offset
from small_chunks import CHUNK, small_chunks

from neuralcipher.container import AEAD_NAMES, BundleWriter
from neuralcipher.errors import BundleError, NeuralCipherError, WrongKeyError
from neuralcipher.keys import BundleKey, Passphrase, seal_slot

SECTIONS = (content(3 * CHUNK), content(2 * CHUNK + 7))
OTHERS = tuple(bytes(byte ^ 0x55 for byte in section) for section in SECTIONS)
Suite = Literal["chacha20-poly1305", "aes-256-gcm", "bare"]
SUITES: tuple[Suite, ...] = (*AEAD_NAMES, "bare")  # type: ignore[assignment]
REFUSED = {error.__name__ for error in (*BundleError.__subclasses__(), WrongKeyError)}
_SHARED = BundleKey(bytes(range(7, 39)))


def small_bundle(suite: Suite, sections: tuple[bytes, ...], *, shared: bool = False) -> bytes:
    """A bundle for KEY in small chunks. shared: under a bundle key that is the same at every call."""
    file = io.BytesIO()
    if suite == "bare":
        writer = BundleWriter.create_bare(file, KEY)
    elif shared:
        writer = BundleWriter.create_with_slots(file, _SHARED, [seal_slot(KEY, _SHARED)], aead=suite)
    else:
        writer = BundleWriter.create_sealed(file, [OTHER, KEY, Passphrase("p")], aead=suite, argon2=CHEAP)
    for segment, data in enumerate(sections):
        writer.add_section("flow", segment, data, name="mlp")
    writer.finish(METADATA)
    return file.getvalue()


def cut_up(data: bytes) -> tuple[bytes, list[bytes]]:
    """What lies in front of the payload, and the chunks; a bare payload is cut in the same way."""
    at, step = payload_offset(data), CHUNK + 16
    return data[:at], [data[start : start + step] for start in range(at, len(data), step)]


def flipped(data: bytes) -> Iterator[bytes]:
    """Every bit."""
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        yield bytes(bad)


def rearranged(data: bytes) -> Iterator[bytes]:
    """Every pair of chunks swapped, every chunk in every other's place, left out, or twice."""
    head, chunks = cut_up(data)
    for i, j in combinations(range(len(chunks)), 2):
        swapped = list(chunks)
        swapped[i], swapped[j] = chunks[j], chunks[i]
        yield head + b"".join(swapped)
    for i in range(len(chunks)):
        for j in range(len(chunks)):
            if i != j:
                yield head + b"".join([*chunks[:i], chunks[j], *chunks[i + 1 :]])
            yield head + b"".join([*chunks[:i], chunks[j], *chunks[i:]])
        yield head + b"".join(chunks[:i] + chunks[i + 1 :])


def mixed(one: bytes, two: bytes) -> Iterator[bytes]:
    """Each chunk of two in each place of one, one's beginning with two's end, and the other's header."""
    head, chunks = cut_up(one)
    other_head, others = cut_up(two)
    for i in range(len(chunks)):
        for other in others:
            yield head + b"".join([*chunks[:i], other, *chunks[i + 1 :]])
    for i in range(len(chunks)):
        yield head + b"".join(chunks[:i] + others[i:])
        yield other_head + b"".join(others[: i + 1] + chunks[i + 1 :])
    yield other_head + b"".join(chunks)


def appended(data: bytes) -> Iterator[bytes]:
    """1 to 200 bytes of three kinds after the end, and whole chunks and bundles."""
    _, chunks = cut_up(data)
    for extra in range(1, 201):
        for tail in (bytes(extra), b"\xff" * extra, data[-extra:]):
            yield data + tail
    for chunk in chunks:
        yield data + chunk
    yield data + data


def ways(suite: Suite) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each kind of damage and its files."""
    good = small_bundle(suite, SECTIONS)
    sibling = small_bundle(suite, OTHERS)
    yield "bits flipped", flipped(good)
    yield "cut at every byte", (good[:length] for length in range(len(good)))
    yield "chunks moved, doubled or left out", _without(rearranged(good), good)
    yield "mixed with a bundle of the same key file", _without(mixed(good, sibling), good, sibling)
    yield "appended to", appended(good)
    if suite != "bare":
        pair = [small_bundle(suite, sections, shared=True) for sections in (SECTIONS, OTHERS)]
        yield "mixed with a bundle of the same bundle key", _without(mixed(*pair), *pair)


def _without(files: Iterator[bytes], *whole: bytes) -> Iterator[bytes]:
    """Mixing may give one of the two back, such as where both have the same directory."""
    return (data for data in files if data not in whole)


def outcome(data: bytes) -> str:
    """ "accepted", the name of the documented error, or "crashed with ..." if it is none."""
    try:
        reader = opened(data)
        reader.unlock([KEY])
        for section in reader.sections:
            reader.read_section(section)
        if reader.verify():
            return "found by verify alone"
    except (BundleError, WrongKeyError) as error:
        return type(error).__name__
    except NeuralCipherError as error:
        return f"crashed with {type(error).__name__}, which is not of a bundle"
    except Exception as error:
        return f"crashed with {type(error).__name__}"
    return "accepted"


def tally(suite: Suite) -> dict[str, Counter[str]]:
    """How each kind of damage came out."""
    with small_chunks():
        return {kind: Counter(outcome(data) for data in files) for kind, files in ways(suite)}


def wrong(counts: Counter[str]) -> int:
    """How many were accepted or crashed."""
    return sum(count for name, count in counts.items() if name not in REFUSED)


def lines(suite: Suite, found: dict[str, Counter[str]]) -> list[str]:
    """The numbers as text."""
    rows = []
    for kind, counts in found.items():
        refused = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
        rows.append(f"{suite:18} {kind:44} {counts.total():>7,}, not refused {wrong(counts)} ({refused})")
    return rows


def main() -> None:
    """Print a line for each suite and kind of damage, then the sum."""
    every = wrongs = 0
    for suite in SUITES:
        found = tally(suite)
        print("\n".join(lines(suite, found)))
        every += sum(counts.total() for counts in found.values())
        wrongs += sum(map(wrong, found.values()))
    print(f"{every:,} damaged bundles, {wrongs} accepted or crashed")


if __name__ == "__main__":
    main()
