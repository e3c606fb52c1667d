"""The container (24): is there an altered file that a reader with the key takes for whole?"""

from __future__ import annotations

import io
import math
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.bundles.alterations import FAMILIES, Alteration, Plan, PublicFile, alterations, flip_places
from neuralcipher.attacks.figures import Lines
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import highest_rate
from neuralcipher.attacks.subjects import BundleSubject, Subject, bundle_of
from neuralcipher.container import SUITE_BARE, SUITE_SEALED, BundleReader, BundleWriter, add_slot, copy_with_slots
from neuralcipher.container.format import Source
from neuralcipher.errors import NeuralCipherError, PayloadDamagedError, UsageError
from neuralcipher.keys import Credential, Key

PLANTED_AEAD = "planted-aead"
"""A file of one AES-256-GCM message under the key, nonce in front: the negative control, none of the product's code."""

EXHAUSTIVE_BYTES = 4096
"""Every bit of a file that is no larger is flipped in a full run; of a larger one, every bit of the header."""

NONCE_BYTES = 12
_SAVED = 8


@dataclass(slots=True)
class Tally:
    """What a reader made of the altered files. refusals: class of the error -> how many."""

    tried: Counter[str]
    accepted: Counter[str]
    refusals: Counter[str]
    crashes: Counter[str]
    flips: list[tuple[int, bool]]

    def add(self, alteration: Alteration, verdict: str) -> None:
        """verdict: as of `judged`."""
        self.tried[alteration.family] += 1
        if verdict == "accepted":
            self.accepted[alteration.family] += 1
        elif verdict.startswith("crash: "):
            self.crashes[verdict.removeprefix("crash: ")] += 1
        else:
            self.refusals[verdict] += 1
        if alteration.family == "bit":
            self.flips.append((alteration.position, verdict == "accepted"))

    @property
    def total(self) -> int:
        return self.tried.total()

    @property
    def failures(self) -> int:
        """Accepted files, and readers that fell over."""
        return self.accepted.total() + self.crashes.total()


@register("container")
class ContainerAttack:
    """Alters a copy of the bundle in every way it knows and opens each with the right key."""

    info: ClassVar[Info] = Info(
        number=24,
        name="container",
        title="altered bundles: bits flipped, cut, spliced, forged",
        properties=(),
        threat_models=(ThreatModel.ACTIVE,),
        needs=Needs.BUNDLE,
        statistic="altered files that open as whole with the right key, or that end in anything but a typed error",
        null="an authenticated container accepts none (a forgery succeeds with a chance of 2^-128 a try)",
        rule="BROKEN if any is accepted or crashes the reader; each success is saved and opened again from disk",
        positive="a bare bundle whose checksums the attacker makes again",
        negative="one AES-256-GCM message as a file, without any code of this package",
        failure="someone without the key can change a sealed video on its way and the receiver would not notice.",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """A small bare bundle, and a small file of one AEAD message."""
        bundle = bundle_of(subject)
        draw, key = run.draw("controls"), Key(run.key_bytes("controls", 0))
        bare = small_bundle(bundle.scratch / "container-control-bare.ncv", SUITE_BARE, key, draw, (100, 50))
        plain = draw.bytes(run.pick(quick=200, full=2000))
        nonce = draw.bytes(NONCE_BYTES)
        path = bundle.scratch / "container-control-aead.bin"
        path.write_bytes(nonce + AESGCM(key.reveal()).encrypt(nonce, plain, None))
        return (
            BundleSubject("bare bundle, checksums made again", bare, SUITE_BARE, (key,), bundle.scratch),
            BundleSubject("one AES-256-GCM message", path, PLANTED_AEAD, (key,), bundle.scratch),
        )

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """Count what gets through."""
        bundle = bundle_of(subject)
        attacked, key, path = attackable(bundle)
        copied = path != bundle.path
        siblings = _siblings(attacked, bundle.suite, key, bundle.scratch, run)
        exhaustive = run.pick(quick=400, full=EXHAUSTIVE_BYTES)
        plan = Plan(flips=max(8 * exhaustive, run.pick(quick=1500, full=40_000)), cuts=run.pick(quick=150, full=4096))
        plan = _within_reach(plan, len(attacked.data), run)
        tally = Tally(Counter(), Counter(), Counter(), Counter(), [])
        confirmed, stopped = 0, False
        expected = len(flip_places(attacked, plan, run.draw("altered"))[0]) + plan.cuts
        for count, alteration in enumerate(alterations(attacked, siblings, plan, run.draw("altered"))):
            verdict = judged(alteration.data, bundle.suite, key)
            tally.add(alteration, verdict)
            if verdict == "accepted" and tally.accepted.total() <= _SAVED:
                path = bundle.scratch / f"container-accepted-{run.role}-{tally.accepted.total()}.ncv"
                path.write_bytes(alteration.data)
                confirmed += judged(path.read_bytes(), bundle.suite, key) == "accepted"
            if count % 64 == 0:
                run.progress(min(1.0, count / expected))
                if run.out_of_time():
                    stopped = True
                    break
        exhausted = flip_places(attacked, plan, run.draw("altered"))[1]
        return _measurement(bundle, attacked, tally, confirmed, exhausted, stopped, copied, key, run)


def attackable(bundle: BundleSubject) -> tuple[PublicFile, Key, Path]:
    """(the file to alter, a key file that opens it, where it lies: the bundle itself, or a copy with a slot more).

    A bundle that only passphrases open gets a slot for a fresh key file in a copy: Argon2id for each of thousands of
    files would take days, and a slot more is one more thing to attack. The key is random and not drawn from the run's
    seed: whoever knew it could open the copy.
    """
    key = next((credential for credential in bundle.credentials if isinstance(credential, Key)), None)
    path = bundle.path
    if key is None:
        key = Key.generate()
        handle, name = tempfile.mkstemp(suffix="-with-key-slot.ncv", dir=bundle.scratch)
        path = Path(name)
        with BundleReader.open(bundle.path) as reader, os.fdopen(handle, "wb") as file:
            reader.unlock(bundle.credentials)
            copy_with_slots(reader, add_slot(reader.slots, reader.bundle_key, key), file)
    data = path.read_bytes()
    verdict = judged(data, bundle.suite, key)
    if verdict != "accepted":
        raise UsageError(f"{bundle.path.name} does not open unaltered ({verdict})", hint="check the key")
    offset = NONCE_BYTES
    if bundle.suite != PLANTED_AEAD:
        offset = BundleReader(Source(io.BytesIO(data), len(data), path.name), path).payload_offset
    return PublicFile(data, bundle.suite, offset), key, path


def judged(data: bytes, suite: str, key: Key) -> str:
    """What a reader makes of a file: "accepted" if it opens it as `suite` and either way of reading finds no fault.

    Otherwise the class of the error, "Problem" for what only `verify` lists, or "crash: " and the class of an error
    that is not the package's own.
    """
    try:
        if suite == PLANTED_AEAD:
            return _judge_message(data, key)
        name = Path("altered.ncv")
        reader = BundleReader(Source(io.BytesIO(data), len(data), name.name), name)
        if reader.suite != suite:
            return "OtherSuite"
        reader.unlock([key])
        if not reader.verify():
            return "accepted"
        for section in reader.sections:
            reader.read_section(section)
    except NeuralCipherError as error:
        return type(error).__name__
    except Exception as error:
        return f"crash: {type(error).__name__}"
    return "accepted"


def _judge_message(data: bytes, key: Key) -> str:
    try:
        AESGCM(key.reveal()).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], None)
    except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
        return PayloadDamagedError.__name__
    return "accepted"


def small_bundle(
    path: Path, suite: str, key: Key, draw: np.random.Generator, sizes: Sequence[int] = (400, 200)
) -> Path:
    """A bundle of random sections of these sizes, written through the product's own writer; returns its path."""
    with path.open("wb") as file:
        writer = BundleWriter.create_bare(file, key) if suite == SUITE_BARE else BundleWriter.create_sealed(file, [key])
        for number, size in enumerate(sizes):
            writer.add_section("flow", number, draw.bytes(size))
        writer.finish({"frames": len(sizes)})
    return path


def takes_a_strangers_bare_bundle(credentials: Sequence[Credential], scratch: Path, draw: np.random.Generator) -> bool:
    """Whether these credentials open, without a word, a bare bundle that someone else made: the suite downgraded."""
    path = small_bundle(scratch / "container-downgrade.ncv", SUITE_BARE, Key(draw.bytes(32)), draw)
    try:
        with BundleReader.open(path) as reader:
            reader.unlock(credentials)
            return not reader.verify()
    except NeuralCipherError:
        return False


def _siblings(file: PublicFile, suite: str, key: Key, scratch: Path, run: Run) -> list[PublicFile]:
    """Other files of the same owner: a bundle of the same key file, and one of the same bundle key, fresh salt."""
    draw = run.draw("siblings")
    sizes = (400, max(1, min(len(file.payload), 300_000)))
    if suite == PLANTED_AEAD:
        nonce = draw.bytes(NONCE_BYTES)
        message = nonce + AESGCM(key.reveal()).encrypt(nonce, draw.bytes(len(file.payload)), None)
        return [PublicFile(message, suite, NONCE_BYTES)]
    path = scratch / f"container-sibling-{run.role}.ncv"
    found = [small_bundle(path, suite, key, draw, sizes).read_bytes()]
    if suite == SUITE_SEALED:
        reader = BundleReader(Source(io.BytesIO(file.data), len(file.data), "the bundle"), path)
        reader.unlock([key])
        same = io.BytesIO()
        writer = BundleWriter.create_with_slots(same, reader.bundle_key, reader.slots, aead=reader.aead)
        writer.add_section("flow", 0, draw.bytes(sizes[1]))
        writer.finish({"frames": 1})
        found.append(same.getvalue())
    readers = [BundleReader(Source(io.BytesIO(data), len(data), "a sibling"), path) for data in found]
    return [PublicFile(data, suite, reader.payload_offset) for data, reader in zip(found, readers, strict=True)]


def _within_reach(plan: Plan, size: int, run: Run) -> Plan:
    """Fewer trials on a large file, where each of them decrypts all of it."""
    most = run.pick(quick=4e8, full=5e9) / (size + 100_000)
    return Plan(flips=int(min(plan.flips, most)), cuts=int(min(plan.cuts, math.ceil(most / 4))))


def _measurement(
    bundle: BundleSubject,
    attacked: PublicFile,
    tally: Tally,
    confirmed: int,
    exhaustive: bool,
    stopped: bool,
    copied: bool,
    key: Key,
    run: Run,
) -> Measurement:
    flags = []
    if bundle.suite == SUITE_SEALED and takes_a_strangers_bare_bundle([key], bundle.scratch, run.draw("downgrade")):
        flags.append(
            "suite downgrade: a stranger's bare bundle opens with the same key file; a caller checks the suite"
        )
    if copied:
        flags.append("a key slot was added to a copy, as every passphrase try would cost an Argon2id")
    sampled = [accepted for position, accepted in tally.flips if position >= attacked.payload_offset]
    scope = "every bit of the file" if exhaustive else f"every bit of the header and {len(sampled):,} bits after it"
    accepted = tally.accepted.total()
    return Measurement(
        value=float(tally.failures),
        unit="altered files accepted",
        samples=tally.total,
        threshold=0.0,
        broken=tally.failures > 0 and (confirmed > 0 or tally.crashes.total() > 0),
        decidable=not stopped,
        known=bundle.suite == SUITE_BARE,
        effort=f"{tally.total:,} altered files: {scope}, "
        + ", ".join(f"{tally.tried[family]:,} of {family}" for family in FAMILIES if family != "bit"),
        note=f"{accepted:,} of {tally.total:,} altered files were accepted and {tally.crashes.total()} crashed the"
        f" reader ({scope} flipped)" + ("; bare tells accidents, not attackers, by design" if accepted else ""),
        flags=tuple(flags),
        details={
            "tried": dict(tally.tried),
            "accepted": dict(tally.accepted),
            "refused": dict(tally.refusals),
            "crashes": dict(tally.crashes),
            "confirmed_from_disk": confirmed,
            "every_bit": exhaustive,
            "rate_still_possible_in_sample": None if exhaustive or any(sampled) else highest_rate(max(1, len(sampled))),
            "size_bytes": len(attacked.data),
            "header_bytes": attacked.payload_offset,
        },
        figures=(_flip_figure(tally, attacked),),
    )


def _flip_figure(tally: Tally, file: PublicFile) -> Lines:
    """Flips accepted and refused, summed up along the file."""
    positions = np.array([position for position, _ in tally.flips], dtype=np.float64)
    accepted = np.cumsum([yes for _, yes in tally.flips], dtype=np.float64)
    refused = np.arange(1, len(positions) + 1) - accepted
    keep = np.unique(np.linspace(0, len(positions) - 1, min(len(positions), 200)).astype(np.int64)).tolist()
    series = {
        "refused": ([float(positions[i]) for i in keep], [float(refused[i]) for i in keep]),
        "accepted": ([float(positions[i]) for i in keep], [float(accepted[i]) for i in keep]),
    }
    title = f"single bits flipped (header: the first {file.payload_offset} bytes)"
    return Lines(title, "byte of the file", "flips so far", series)
