"""The fuzzer's targets, a few mutations of valid inputs each: what runs at every commit."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

import msgpack
import pytest
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import NeuralCipherError

# Those whose input is msgpack, and how many bytes stand in front of it.
TREES = {"header": 1, "slots": 0, "directory": 0, "video": 0, "sound": 0}
SLOW = {"latents", "flow-latent", "bundle"}

lengths = st.sampled_from([0, 1, 2, 7, 15, 16, 31, 32, 33, 47, 48, 49, 64, 255, 256, 65_535])
leaves = (
    st.sampled_from([0, 1, -1, 127, 128, 2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1, -(2**63)])
    | st.none()
    | st.booleans()
    | lengths.map(bytes)
    | lengths.map(lambda size: "k" * size)
    | st.text(max_size=9)
    | st.binary(max_size=70)
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)


@cache
def seeds(name: str) -> list[bytes]:
    return TARGETS[name].seeds()


def allowed(name: str, data: bytes) -> None:
    """Accepted, or refused with a documented error; anything else that is raised fails the test."""
    with contextlib.suppress(NeuralCipherError):
        TARGETS[name].run(data)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in a tree of lists and maps."""
    if isinstance(tree, dict):
        entries = list(tree.items())
    elif isinstance(tree, list):
        entries = list(enumerate(tree))
    else:
        return []
    return [(tree, key) for key, _ in entries] + [place for _, value in entries for place in places(value)]


@st.composite
def trees(draw: st.DrawFn, data: bytes) -> bytes:
    """A valid tree with one to three of its values replaced, moved, left out, or joined by others."""
    tree = msgpack.unpackb(data, strict_map_key=False)
    for _ in range(draw(st.integers(1, 3))):
        found = places(tree)
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["replace", "replace", "copy", "drop", "add"]))
        if change == "drop":
            del container[key]
        elif change == "copy":
            source, other = draw(st.sampled_from(found))
            container[key] = msgpack.unpackb(msgpack.packb(source[other]), strict_map_key=False)
        elif change == "add":
            if isinstance(container, dict):
                container[draw(st.text(max_size=9))] = draw(values)
            else:
                container.append(draw(values))
        else:
            container[key] = draw(values)
    return msgpack.packb(_sorted(tree) if draw(st.integers(0, 9)) else tree)


def _sorted(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _sorted(tree[key]) for key in sorted(tree)}
    return [_sorted(value) for value in tree] if isinstance(tree, list) else tree


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with one to four changes: bits, bytes, numbers at their limits, cuts, insertions, copies."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        # Often in front, where the numbers are that say how long the rest is.
        at = draw(st.integers(0, min(40, len(changed))) | st.integers(0, len(changed)))
        change = draw(st.sampled_from(["bit", "number", "cut", "insert", "copy"]))
        if change == "bit" and at < len(changed):
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "number":
            width = draw(st.sampled_from([1, 2, 4, 8]))
            limits = [0, 1, 2**7, 2 ** (8 * width - 1), 2 ** (8 * width) - 1]
            number = draw(st.sampled_from(limits) | st.integers(0, 300))
            changed[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
        elif change == "cut":
            del changed[at : at + draw(st.integers(1, 40))]
        elif change == "insert":
            changed[at:at] = draw(st.binary(max_size=20))
        else:
            start = draw(st.integers(0, len(changed)))
            changed[at:at] = changed[start : start + draw(st.integers(1, 40))]
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_accepted(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TREES)
@settings(max_examples=150)
@given(data=st.data())
def test_changed_trees_are_accepted_or_refused(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(seeds(name)))
    allowed(name, seed[: TREES[name]] + data.draw(trees(seed[TREES[name] :])))


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in SLOW])
@settings(max_examples=60)
@given(data=st.data())
def test_changed_bytes_are_accepted_or_refused(name: str, data: st.DataObject) -> None:
    allowed(name, data.draw(st.sampled_from(seeds(name)).flatmap(mutated)))


@pytest.mark.parametrize("name", sorted(SLOW))
@settings(max_examples=15)
@given(data=st.data())
def test_changed_bytes_of_what_takes_longer(name: str, data: st.DataObject) -> None:
    allowed(name, data.draw(st.sampled_from(seeds(name)).flatmap(mutated)))
