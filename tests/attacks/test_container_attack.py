"""The container attack: bare is caught, sealed and an ideal AEAD are not, and what was tried is what it says."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.base import NotApplicable, Verdict
from neuralcipher.attacks.bundles import container_attack
from neuralcipher.attacks.bundles.alterations import FAMILIES, Plan, PublicFile, alterations, repaired
from neuralcipher.attacks.bundles.container_attack import ContainerAttack, judged, small_bundle
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.planted.generators import control_generator
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import BundleSubject, GeneratorSubject
from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.container.format import Source
from neuralcipher.errors import PayloadDamagedError, UsageError
from neuralcipher.keys import Argon2Parameters, Key, Passphrase

KEY = Key(bytes(range(32)))
QUICK = Settings()


def bundle(tmp_path: Path, suite: str, sizes: tuple[int, ...] = (100, 50)) -> BundleSubject:
    path = small_bundle(tmp_path / f"{suite}.ncv", suite, KEY, np.random.default_rng(0), sizes)
    return BundleSubject(suite, path, suite, (KEY,), tmp_path)


def public(subject: BundleSubject) -> PublicFile:
    with BundleReader.open(subject.path) as reader:
        return PublicFile(subject.path.read_bytes(), reader.suite, reader.payload_offset)


def test_bare_is_broken_by_design(tmp_path: Path) -> None:
    row = run_attack(ContainerAttack, bundle(tmp_path, "bare", (1000,)), QUICK)
    assert (row.verdict, row.known, row.error) == (Verdict.BROKEN, True, "")
    assert row.target is not None
    assert row.target.details["accepted"]["bit"] >= 2000  # most of the 3,200 sampled flips are in the section
    saved = sorted(tmp_path.glob("container-accepted-target-*.ncv"))
    assert saved
    original = bundle(tmp_path, "bare", (1000,)).path.read_bytes()
    for path in saved:
        assert path.read_bytes() != original
        with BundleReader.open(path) as reader:
            reader.unlock([KEY])
            assert reader.verify() == []


def test_sealed_accepts_no_altered_bundle(tmp_path: Path) -> None:
    target = bundle(tmp_path, "sealed")
    row = run_attack(ContainerAttack, target, QUICK)
    assert (row.verdict, row.error) == (Verdict.NOT_BROKEN, "")
    assert row.target is not None
    size = target.path.stat().st_size
    assert row.target.details["every_bit"]
    assert row.target.details["tried"]["bit"] == 8 * size
    assert row.target.details["tried"]["cut"] >= min(size, 150)
    assert set(row.target.details["tried"]) == set(FAMILIES)
    assert row.target.details["crashes"] == {}
    assert sum(row.target.details["refused"].values()) == row.target.samples


def test_chunks_of_a_long_bundle_are_moved(tmp_path: Path) -> None:
    row = run_attack(ContainerAttack, bundle(tmp_path, "sealed", (140_000, 10)), QUICK)
    assert row.verdict is Verdict.NOT_BROKEN
    assert row.target is not None
    assert not row.target.details["every_bit"]
    assert row.target.details["tried"]["chunk"] >= 3 * 2 + 2 * 2  # three chunks dropped, doubled; swapped, cut
    assert 0 < row.target.details["rate_still_possible_in_sample"] < 0.01


def test_a_reader_that_does_not_authenticate_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole MAC check of the header and every tag of the payload ignored: the attack must say so."""
    target = bundle(tmp_path, "sealed")
    monkeypatch.setattr(BundleReader, "verify", lambda self: [])
    row = run_attack(ContainerAttack, target, QUICK)
    assert row.verdict is Verdict.BROKEN
    assert not row.known
    assert row.target is not None
    assert row.target.details["accepted"]["bit"] > 0


def test_a_reader_that_falls_over_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = bundle(tmp_path, "sealed")
    whole = target.path.read_bytes()
    original = container_attack.Source.read

    def fall_over(self: Source, offset: int, length: int) -> bytes:
        if self.size == len(whole) - 1:
            raise IndexError("planted")
        return original(self, offset, length)

    monkeypatch.setattr(container_attack.Source, "read", fall_over)
    measured = ContainerAttack().measure(target, Run(QUICK, "container"))
    assert measured.broken
    assert measured.details["crashes"] == {"IndexError": measured.value}


def test_a_passphrase_bundle_is_attacked_through_a_key_slot(tmp_path: Path) -> None:
    words, path = Passphrase("correct horse"), tmp_path / "passphrase.ncv"
    with path.open("wb") as file:
        writer = BundleWriter.create_sealed(file, [words], argon2=Argon2Parameters(1, 8, 1))
        writer.add_section("flow", 0, bytes(20))
        writer.finish({})
    before = path.read_bytes()
    row = run_attack(ContainerAttack, BundleSubject("p", path, "sealed", (words,), tmp_path), QUICK)
    assert row.verdict is Verdict.NOT_BROKEN
    assert row.target is not None
    assert any("key slot was added" in flag for flag in row.target.flags)
    assert path.read_bytes() == before


def test_the_downgrade_is_flagged(tmp_path: Path) -> None:
    target = bundle(tmp_path, "sealed")
    run = Run(QUICK, "container")
    measured = ContainerAttack().measure(target, run)
    assert any("downgrade" in flag for flag in measured.flags)


def test_no_key_no_attack(tmp_path: Path) -> None:
    target = bundle(tmp_path, "sealed")
    stranger = BundleSubject("s", target.path, "sealed", (Key(bytes(32)),), tmp_path)
    row = run_attack(ContainerAttack, stranger, QUICK)
    assert row.verdict is Verdict.ERROR
    assert "does not open unaltered" in row.error
    with pytest.raises(UsageError, match="WrongKeyError"):
        ContainerAttack().measure(stranger, Run(QUICK, "container"))


def test_other_targets_are_skipped(tmp_path: Path) -> None:
    row = run_attack(ContainerAttack, GeneratorSubject("g", control_generator((3, 16, 16))), QUICK)
    assert row.skipped == "there is no bundle file to attack"
    with pytest.raises(NotApplicable):
        ContainerAttack().measure(GeneratorSubject("g", control_generator((3, 16, 16))), Run(QUICK, "container"))


def test_a_spent_budget_is_inconclusive(tmp_path: Path) -> None:
    row = run_attack(ContainerAttack, bundle(tmp_path, "sealed"), QUICK, seconds=1e-6)
    assert row.verdict is Verdict.INCONCLUSIVE


def test_checksums_made_again_are_right(tmp_path: Path) -> None:
    data = bundle(tmp_path, "bare").path.read_bytes()
    assert repaired(data) == data
    changed = repaired(data[:90] + bytes([data[90] ^ 1]) + data[91:])
    assert changed[-32:] == sha256(changed[:-32]).digest()
    assert changed[-32:] != data[-32:]
    assert repaired(data[:60]) == data[:60]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["sealed", "bare"]))
def test_no_alteration_is_an_original(tmp_path_factory: pytest.TempPathFactory, seed: int, suite: str) -> None:
    folder = tmp_path_factory.mktemp("altered")
    file = public(bundle(folder, suite, (30,)))
    other = public(bundle(folder, suite, (40,)))
    seen = set()
    for alteration in alterations(file, [other], Plan(flips=20, cuts=20), np.random.default_rng(seed)):
        assert alteration.data not in (file.data, other.data)
        assert alteration.family in FAMILIES
        seen.add(alteration.family)
    assert seen == set(FAMILIES)


def test_what_a_reader_says_is_told_apart(tmp_path: Path) -> None:
    data = bundle(tmp_path, "sealed").path.read_bytes()
    assert judged(data, "sealed", KEY) == "accepted"
    assert judged(data[:-1] + bytes([data[-1] ^ 1]), "sealed", KEY) == PayloadDamagedError.__name__
    assert judged(b"\x00" + data[1:], "sealed", KEY) == "NotABundleError"
    assert judged(data, "sealed", Key(bytes(32))) == "WrongKeyError"
    bare = io.BytesIO()
    writer = BundleWriter.create_bare(bare, KEY)
    writer.finish({})
    assert judged(bare.getvalue(), "sealed", KEY) == "OtherSuite"
