"""An attacker cannot reach the key: everything that a view refers to is walked, and what a subject refers to as well.

The second half shows that the walk would find the key, the seed and the start latent if they were there.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import gc
import inspect
import io
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neuralcipher.attacks import views
from neuralcipher.attacks.pairs.inversion import known_plaintext, prior, priors, solving, surrogate
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import (
    SALT,
    BundleSubject,
    GeneratorSubject,
    PairSubject,
    Recipe,
    z0_of,
)
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import Flow
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.generators.base import Shape
from neuralcipher.generators.feistel import FeistelGenerator
from neuralcipher.keys import Key, segment_seed
from neuralcipher.keys.secret import Secret

WINDOW = 32
KEY = bytes((37 * i + 11) % 256 for i in range(32))
SEED = segment_seed(Key(KEY), SALT, 0).reveal()
FLOWS: dict[str, tuple[type[Flow], Any]] = {
    "autoencoder": (AutoencoderFlow, AutoencoderConfig(nconv=4, steps=2)),
    "latent": (LatentFlow, LatentConfig(steps=0)),
}


def feistel(shape: Shape, z0: Tensor) -> FeistelGenerator:
    return FeistelGenerator(shape, bytes(32))


@functools.cache
def subject(flow: str) -> PairSubject:
    """A real pair under a known key."""
    kind, config = FLOWS[flow]
    frames = torch.linspace(20, 220, 48).expand(3, 3, 32, 48).round().to(torch.uint8)
    frames = torch.stack([frame.roll(3 * i, dims=-1) for i, frame in enumerate(frames)])
    return Recipe(kind, feistel, config).seal(flow, frames, KEY)


# The walk

_SKIPPED = (types.ModuleType, type, types.FrameType, types.BuiltinFunctionType, types.CodeType)


def children(thing: object) -> Iterator[object]:
    """What an attacker's code could get at from a thing, without the modules that everybody has."""
    if isinstance(thing, types.FunctionType):  # its globals are the program; what it closes over is not
        yield from thing.__closure__ or ()
        yield from thing.__defaults__ or ()
        yield from (thing.__kwdefaults__ or {}).values()
        yield from thing.__dict__.values()
    elif isinstance(thing, Tensor):
        yield thing.__dict__
        yield thing.grad_fn
        yield thing.grad if thing.is_leaf else None
    elif isinstance(thing, np.ndarray):
        yield thing.base
        if thing.dtype == object:
            yield from thing.reshape(-1)
    elif isinstance(thing, memoryview):
        yield thing.obj
    else:
        yield from gc.get_referents(thing)
        for name in _slots(thing):
            yield getattr(thing, name, None)


def _slots(thing: object) -> list[str]:
    slots: list[str] = []
    for kind in type(thing).__mro__:
        some = kind.__dict__.get("__slots__", ())
        slots += [some] if isinstance(some, str) else list(some)
    return [name for name in slots if not name.startswith("__")]


def content(thing: object) -> bytes:
    """The bytes that a thing holds, the whole storage for what is a view of one."""
    if isinstance(thing, Tensor):
        whole = torch.empty(0, dtype=torch.uint8).set_(thing.detach().cpu().untyped_storage())  # type: ignore[call-overload]
        return bytes(whole.numpy().tobytes())
    if isinstance(thing, np.ndarray):
        return b"" if thing.dtype == object else thing.tobytes()
    if isinstance(thing, (list, tuple)):
        numbers = len(thing) >= WINDOW and all(isinstance(item, int) and 0 <= item < 256 for item in thing)
        return bytes(thing) if numbers else b""
    return _text(thing)


def _text(thing: object) -> bytes:
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return bytes(thing)
    if isinstance(thing, str):
        return thing.encode(errors="replace")
    if isinstance(thing, int) and not isinstance(thing, bool) and thing >= 0:
        return thing.to_bytes((thing.bit_length() + 7) // 8 or 1, "big")
    return b""


def walk(*roots: object) -> list[object]:
    """Everything that is reachable, each thing once."""
    seen: dict[int, object] = {}
    queue = list(roots)
    while queue:
        thing = queue.pop()
        if thing is None or id(thing) in seen or isinstance(thing, _SKIPPED):
            continue
        seen[id(thing)] = thing
        queue += children(thing)
    return list(seen.values())


def pieces(data: bytes, step: int) -> set[bytes]:
    """All pieces of half a window at every `step`-th place: any window of the data holds one of those at step 16."""
    return {data[i : i + WINDOW // 2] for i in range(0, len(data) - WINDOW // 2 + 1, step)}


def secrets_in(root: object, pair: PairSubject) -> set[str]:
    """Names of the secrets of a pair that are found from `root`, read forwards or backwards."""
    z0 = pair.z0.contiguous().numpy().tobytes()
    wanted = {"key": pieces(KEY, 1), "seed": pieces(SEED, 1), "z0": pieces(z0, 1)}
    found = set()
    for thing in walk(root):
        if isinstance(thing, (Secret, GeneratorSubject, PairSubject, BundleSubject, Run)):  # a run can draw its keys
            found.add(type(thing).__name__)
        data = content(thing)
        here = pieces(data, WINDOW // 2) | pieces(data[::-1], WINDOW // 2)
        found |= {name for name, some in wanted.items() if not some.isdisjoint(here)}
    return found


# What attackers get


def every_view(pair: PairSubject) -> Mapping[str, object]:
    """One of each kind of view, made by the referee as attacks make them."""
    generator = pair.as_generator()
    other = pair.start(bytes(32), pair.latent_shape)
    return {
        "Public": views.public(pair),
        "KnownFrames": views.known_frames(pair, (0, 2)),
        "KnownState": views.known_state(generator, pair.z0, 2),
        "KnownStates": views.known_states(generator, pair.z0, 3),
        "TwoBundles": views.TwoBundles(views.public(pair), views.public(pair)),
        "other state": views.known_state(generator, other, 1),
    }


@pytest.mark.parametrize("flow", FLOWS)
def test_no_view_leads_to_the_key(flow: str) -> None:
    pair = subject(flow)
    for name, view in every_view(pair).items():
        assert secrets_in(view, pair) == set(), name


@pytest.mark.parametrize("flow", FLOWS)
def test_no_view_leads_to_the_key_after_it_was_used(flow: str) -> None:
    """Rendering, a surrogate and a solved problem leave nothing behind in what the attacker holds."""
    pair = subject(flow)
    view = views.known_frames(pair, (0,))
    pair.show(pair.z0)  # the referee's own rendering shares the generator with the view
    made = surrogate.surrogate_of(view.public)
    view.public.show(pair.start(bytes(32), pair.latent_shape), 0, 1)
    assert secrets_in((view, made, known_plaintext.solve), pair) == set()


def test_every_kind_of_view_is_walked() -> None:
    kinds = {name for name, kind in vars(views).items() if dataclasses.is_dataclass(kind) and _is_of(kind, views)}
    assert kinds == {type(view).__name__ for view in every_view(subject("autoencoder")).values()}


@pytest.mark.parametrize("flow", FLOWS)
def test_known_frames_are_copies(flow: str) -> None:
    """The storage of one known frame is that frame: not the video that it was taken from."""
    view = views.known_frames(subject(flow), (1,))
    assert view.frames[1].untyped_storage().nbytes() == view.frames[1].numel()


def test_known_states_hold_no_more_than_they_say() -> None:
    pair = subject("autoencoder")
    size = pair.z0.numel()
    assert views.known_states(pair.as_generator(), pair.z0, 3).latents.untyped_storage().nbytes() == 3 * size
    assert views.known_state(pair.as_generator(), pair.z0, 1).latent.untyped_storage().nbytes() == size


# That the walk finds what is there


@pytest.mark.parametrize("flow", FLOWS)
def test_a_subject_leads_to_its_key(flow: str) -> None:
    pair = subject(flow)
    assert secrets_in(pair, pair) >= {"PairSubject", "key", "z0"}
    assert pair.seal is not None
    assert "PairSubject" not in secrets_in(pair.seal, pair)  # a recipe makes others: it keeps no key
    assert secrets_in(functools.partial(pair.seal, pair.frames, KEY), pair) == {"key"}


@dataclasses.dataclass(frozen=True)
class Leaky:
    """A careless view."""

    hidden: object


class Slotted:
    """Without a dictionary of its own."""

    __slots__ = ("hidden",)

    def __init__(self, hidden: object) -> None:
        self.hidden = hidden


def hiding_places(pair: PairSubject) -> dict[str, tuple[object, str]]:
    """Where something may hide -> what the walk must find."""
    z0, closed = pair.z0, pair.z0.clone()
    shared = torch.cat([torch.zeros(5, dtype=torch.uint8), z0.reshape(-1)])
    array = np.concatenate([np.zeros(7, np.uint8), np.frombuffer(KEY, np.uint8)])
    attributed = torch.zeros(3)
    attributed.secret = KEY  # type: ignore[attr-defined]

    def method() -> Tensor:
        return closed

    def default(z: Tensor = z0) -> Tensor:
        return z

    return {
        "closure": (method, "z0"),
        "default": (default, "z0"),
        "partial": (functools.partial(print, KEY), "key"),
        "bound method": (pair.show, "PairSubject"),
        "storage behind a small view": (shared[:3], "z0"),
        "base of an array": (array[:4], "key"),
        "attribute of a tensor": (attributed, "key"),
        "part of a longer text": ((b"x" * 9 + SEED + b"y",), "seed"),
        "bytearray": (bytearray(KEY), "key"),
        "memoryview": (memoryview(b"ab" + KEY)[:1], "key"),
        "a number": (int.from_bytes(KEY, "big"), "key"),
        "a little-endian number": (int.from_bytes(KEY, "little"), "key"),
        "list of numbers": (list(KEY), "key"),
        "a piece of z0": (z0.reshape(-1)[40 : 40 + WINDOW].clone(), "z0"),
        "slots": (Slotted(KEY), "key"),
        "nested": ({"a": [(Leaky(Slotted({1: KEY})),)]}, "key"),
        "a secret": (Key(KEY), "Key"),
        "iterator": (iter([KEY]), "key"),
        "buffer": (io.BytesIO(KEY).getbuffer(), "key"),
        "the graph of a tensor": (torch.ones(3, requires_grad=True) * 2, ""),
    }


@pytest.mark.parametrize("place", [*hiding_places(subject("autoencoder"))])
def test_the_walk_finds_what_hides(place: str) -> None:
    pair = subject("autoencoder")
    thing, name = hiding_places(pair)[place]
    found = secrets_in(Leaky(thing), pair)
    assert name in found if name else found == set()


def test_other_keys_are_not_mistaken_for_the_key() -> None:
    pair = subject("autoencoder")
    other = dataclasses.replace(pair, z0=z0_of(bytes(32), pair.latent_shape), key=bytes(32))
    assert secrets_in((other.z0, other.key), pair) == set()
    assert secrets_in(KEY[:15], pair) == set()


# That attackers take nothing else

ATTACKERS = (solving, priors, surrogate)
VIEWS = {"Public", "KnownFrames", "KnownState", "KnownStates", "TwoBundles"}
SUBJECTS = {"Subject", "PairSubject", "GeneratorSubject", "BundleSubject"}


def _is_of(thing: object, module: types.ModuleType) -> bool:
    return getattr(thing, "__module__", None) == module.__name__


def attackers() -> dict[str, Callable[..., Any]]:
    """Everything public that an attacking module defines, and the attacker's part of the attack itself."""
    found: dict[str, Callable[..., Any]] = {"solve": known_plaintext.solve, "choose": known_plaintext.choose}
    for module in ATTACKERS:
        for name, thing in vars(module).items():
            if inspect.isfunction(thing) and _is_of(thing, module) and not name.startswith("_"):
                found[name] = thing
    return found


def names_in(annotation: object) -> set[str]:
    """Names of all types within an annotation."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return {annotation.__name__}
    return set().union(*(names_in(part) for part in typing.get_args(annotation)))


def test_attackers_accept_views_alone() -> None:
    found = attackers()
    assert {"invert", "search", "descend", "solve_with_prior", "surrogate_of", "solve", "choose"} <= set(found)
    for name, function in found.items():
        hints = typing.get_type_hints(function)
        assert set(hints) == {*inspect.signature(function).parameters, "return"}, f"{name} lacks annotations"
        types_of = {parameter: names_in(hint) for parameter, hint in hints.items()}
        assert SUBJECTS.isdisjoint(set().union(*types_of.values())), name
        for parameter in {"view", "public"} & set(types_of):
            assert types_of[parameter] <= VIEWS, f"{name} takes {types_of[parameter]} for a view"
            assert types_of[parameter]


@pytest.mark.parametrize("module", ATTACKERS)
def test_attacking_modules_do_not_know_subjects(module: types.ModuleType) -> None:
    """Neither by import nor by way of the referee's part."""
    imported = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    for part in ("subjects", "judging", "controls", "keys", "planted_flows"):
        assert not [name for name in imported if f".{part}" in name], part
    makers = {name for name, thing in vars(views).items() if inspect.isfunction(thing)}
    assert not imported & {f"{views.__name__}.{name}" for name in makers}  # views are made by the referee


def test_solving_is_given_no_way_to_the_key() -> None:
    """A whole attack with its solving replaced: what it is called with is walked."""
    pair = subject("autoencoder")
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []

    def spying(*given: Any, **named: Any) -> solving.Answer:
        calls.append((given, named))
        return solving.Answer(torch.zeros(pair.latent_shape, dtype=torch.uint8), 1, 1.0, 1.0)

    long = Recipe(AutoencoderFlow, feistel, FLOWS["autoencoder"][1]).seal("long", pair.frames.repeat(4, 1, 1, 1), KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_plaintext, "invert", spying)
        patch.setattr(known_plaintext, "search", spying)
        patch.setattr(prior, "solve_with_prior", spying)
        known_plaintext.KnownPlaintextInversion().measure(long, Run(Settings(), "test", seconds=1000))
        prior.PriorInversion().measure(long, Run(Settings(), "test"))
    assert len(calls) >= 8
    for given, named in calls:
        assert secrets_in((given, named), pair) == set()
