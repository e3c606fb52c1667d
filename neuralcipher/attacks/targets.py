"""What a run attacks, by name or by file: plain values that can be sent to another process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from neuralcipher.attacks.base import Needs, NotApplicable
from neuralcipher.attacks.planted.generators import PREFIX, weak_generator
from neuralcipher.attacks.scenery import other_videos
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.subjects import BundleSubject, GeneratorSubject, PairSubject, Recipe, Subject, z0_of
from neuralcipher.container import SUITE_BARE, BundleReader
from neuralcipher.errors import UsageError
from neuralcipher.flows.base import Flow
from neuralcipher.generators import base as generators
from neuralcipher.generators.autoencoder import AutoencoderConfig, AutoencoderGenerator
from neuralcipher.generators.base import Generator, Keystream, Shape, check_shape
from neuralcipher.generators.feistel import FeistelConfig, FeistelGenerator
from neuralcipher.keys import Credential, Key, Passphrase, segment_seed, start_latent
from neuralcipher.pipeline.segments import load_segment, public_seed
from neuralcipher.pipeline.stored import stored_segments, stored_video

DEFAULT_SHAPE: Shape = (3, 128, 128)
_SMALLEST_STATE = 256
_FRAMES = {"quick": 12, "full": 32}
_CONFIGS: Mapping[type[Generator], type[Any]] = {
    FeistelGenerator: FeistelConfig,
    AutoencoderGenerator: AutoencoderConfig,
}


class Target(Protocol):
    """Something to attack. Pickled on its way to a worker, over a pipe and never to a disk."""

    def describe(self) -> Mapping[str, Any]:
        """What the report says of it: names, sizes, hashes; nothing secret."""
        ...

    def prepare(self) -> Target:
        """Do once what every worker would have to do, such as training g."""
        ...

    def subject(self, needs: Needs, settings: Settings, scratch: Path) -> Subject:
        """The part that an attack needs. Raises NotApplicable if there is no such part.

        scratch: a folder for copies of a bundle; whoever asks removes it.
        """
        ...


@dataclass(frozen=True, slots=True)
class GeneratorTarget:
    """A generator by name, or a planted weak one ("weak-lcg32").

    options: fields of its configuration, such as {"rounds": 2}. seed: of its public weights. stored: what
    `prepare` made. A generator is attacked as made, without the checks that sealing insists on.
    """

    name: str = "feistel"
    shape: Shape = DEFAULT_SHAPE
    options: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    stored: bytes | None = None

    def describe(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {
            "kind": "generator",
            "name": " ".join([self.name, *(f"{k}={v}" for k, v in self.options.items())]),
            "generator": self.name,
            "shape": list(self.shape),
            "options": dict(self.options),
            "generator_seed": self.seed,
        }
        if self.stored is not None:
            facts["generator_sha256"] = hashlib.sha256(self.stored).hexdigest()
        return facts

    def check(self) -> None:
        """Raise UsageError, ShapeError or LimitError now for a name, an option or a shape that cannot be."""
        if self.name.startswith(PREFIX):
            self._take_no_options()
            weak_generator(self.name, check_shape(self.shape, smallest=_SMALLEST_STATE))
            return
        kind = generators.find(self.name)
        check_shape(self.shape, smallest=_SMALLEST_STATE)
        config_type = _CONFIGS.get(kind)
        if config_type is None:
            self._take_no_options()
            return
        known = [f.name for f in fields(config_type)]
        wrong = [name for name in self.options if name not in known]
        if wrong:
            raise UsageError(
                f"the generator {self.name} has no option {wrong[0]!r}", hint=f"it has: {', '.join(known)}"
            )
        config_type(**self.options)

    def prepare(self) -> GeneratorTarget:
        return replace(self, stored=self._make().to_bytes())

    def subject(self, needs: Needs, settings: Settings, scratch: Path) -> Subject:
        if needs is not Needs.GENERATOR:
            raise NotApplicable(f"it attacks a {needs.value}, and the target is a generator alone")
        if not self.options.get("train_on_key"):
            return GeneratorSubject(self.name, self._load())
        return GeneratorSubject(self.name, self._load(), made_with=self._z0(), remake=self._for_key)

    def _for_key(self, key: bytes) -> GeneratorSubject:
        """The generator as it is when it is trained on another key's start latent."""
        z0 = z0_of(key, self.shape)
        return GeneratorSubject(self.name, self._make(z0), made_with=z0)

    def _z0(self) -> Tensor:
        return z0_of(hashlib.sha256(f"attack target {self.seed}".encode()).digest(), self.shape)

    def _load(self) -> Generator:
        if self.stored is None or self.name.startswith(PREFIX):
            return self._make()
        return generators.find(self.name).from_bytes(self.stored, self.shape)

    def _make(self, z0: Tensor | None = None) -> Generator:
        self.check()
        seed = public_seed(str(self.seed), 0)
        if self.name.startswith(PREFIX):
            return weak_generator(self.name, self.shape)
        kind = generators.find(self.name)
        z0 = self._z0() if z0 is None else z0
        config: Any = _CONFIGS[kind](**self.options) if kind in _CONFIGS else None
        if kind is FeistelGenerator:
            return FeistelGenerator(self.shape, seed, config)
        if kind is AutoencoderGenerator:
            return AutoencoderGenerator.train(self.shape, seed=seed, z0=z0, progress=_silent, config=config)
        return kind.create(self.shape, seed=seed, z0=z0, progress=_silent)

    def _take_no_options(self) -> None:
        if self.options:
            raise UsageError(f"the generator {self.name} has no options", hint="leave out -O")


@dataclass(frozen=True, slots=True)
class PackedCredential:
    """A credential on its way to a worker; it hides itself as the others do."""

    kind: str
    secret: bytes = field(repr=False)

    @classmethod
    def pack(cls, credential: Credential) -> PackedCredential:
        return cls("key" if isinstance(credential, Key) else "passphrase", credential.reveal())

    def unpack(self) -> Credential:
        return Key(self.secret) if self.kind == "key" else Passphrase(self.secret.decode())


@dataclass(frozen=True, slots=True)
class BundleTarget:
    """A bundle file, with what opens it: the referee needs the truth to judge by.

    assume_opened: look behind the outer encryption of a sealed bundle. The first segment is attacked, at most 12
    frames of it (quick) or 32 (full).
    """

    path: Path
    credentials: tuple[PackedCredential, ...]
    assume_opened: bool = False

    def describe(self) -> Mapping[str, Any]:
        with BundleReader.open(self.path) as reader:
            reader.unlock([packed.unpack() for packed in self.credentials])
            video = stored_video(reader)
            segment = stored_segments(reader, video)[0]
            parts = {"generator": reader.read_section(segment.generator), "flow": reader.read_section(segment.flow)}
            return {
                "kind": "bundle",
                "name": self.path.name,
                "suite": reader.suite,
                "assume_opened": self.assume_opened,
                "generator": segment.generator_name,
                "flow": segment.flow_name,
                "frames": video.frames,
                "width": video.width,
                "height": video.height,
                "bundle_sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
                **{f"{name}_sha256": hashlib.sha256(data).hexdigest() for name, data in parts.items()},
            }

    def prepare(self) -> BundleTarget:
        return self

    def subject(self, needs: Needs, settings: Settings, scratch: Path) -> Subject:
        keys = tuple(packed.unpack() for packed in self.credentials)
        with BundleReader.open(self.path) as reader:
            reader.unlock(keys)
            if needs is Needs.BUNDLE:
                return BundleSubject(self.path.name, self.path, reader.suite, keys, scratch)
            if reader.suite != SUITE_BARE and not self.assume_opened:
                raise NotApplicable("the outer encryption hides <g, F>: --assume-opened looks behind it")
            segment = stored_segments(reader, stored_video(reader))[0]
            loaded = load_segment(reader, segment, reader.segment_seed(0), torch.device("cpu"))
            if needs is Needs.GENERATOR:
                return GeneratorSubject(reader.name, loaded[2].generator, partial(_start, reader.header.salt))
            return _pair(reader, loaded, min(_FRAMES[settings.depth], segment.frames), keys)


def _pair(
    reader: BundleReader, loaded: tuple[type[Flow], bytes, Keystream], count: int, keys: tuple[Credential, ...]
) -> PairSubject:
    """The first `count` frames of a segment as a subject, opened with the right key."""
    flow, section, stream = loaded
    frames = torch.stack(list(flow.render(section, stream, torch.device("cpu"), 0, count)))
    others = other_videos(frames)
    key = keys[0] if reader.suite == SUITE_BARE else reader.bundle_key
    if isinstance(key, Passphrase):
        raise UsageError("a bare bundle is opened by a key file", hint="pass --key")
    start = partial(_start, reader.header.salt)
    generator = stream.generator

    def make_generator(shape: Shape, z0: Tensor) -> Generator:
        return type(generator).from_bytes(generator.to_bytes(), shape)

    recipe = Recipe(flow, make_generator, start=start)
    return PairSubject(
        reader.name,
        generator,
        flow,
        section,
        frames,
        key.reveal(),
        start(key.reveal(), generator.shape),
        others,
        seal=lambda video, other: recipe.seal(reader.name, video, other, others),
        start=start,
    )


def _start(salt: bytes, key: bytes, shape: Shape) -> Tensor:
    """z0 of 32 key bytes under a bundle's own salt."""
    return torch.from_numpy(start_latent(segment_seed(Key(key), salt, 0), shape))


def _silent(fraction: float) -> None:
    return None
