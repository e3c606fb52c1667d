"""Passphrase guessing: costs by hand, cheap slots broken, standard slots not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.bundles import passphrase_attack
from neuralcipher.attacks.bundles.container_attack import small_bundle
from neuralcipher.attacks.bundles.passphrase_attack import (
    HARDWARE_ADVANTAGE,
    USD_PER_CORE_HOUR,
    LockedSlot,
    PassphraseAttack,
    Speed,
    bits_for,
    search,
    time_guesses,
    usd_to_find,
)
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.planted.generators import control_generator
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import BundleSubject, GeneratorSubject
from neuralcipher.container import BundleWriter
from neuralcipher.keys import Argon2Parameters, BundleKey, Key, Passphrase, PassphraseSlot, seal_slot

KEY = Key(bytes(range(32)))
QUICK = Settings()


def bundle(tmp_path: Path, *parameters: Argon2Parameters) -> BundleSubject:
    """One passphrase slot for each set of parameters, and a key file."""
    path, bundle_key = tmp_path / "target.ncv", BundleKey(bytes(range(32)))
    words = [Passphrase(f"words {number}") for number in range(len(parameters))]
    slots = [seal_slot(KEY, bundle_key)]
    slots += [seal_slot(word, bundle_key, cost) for word, cost in zip(words, parameters, strict=True)]
    with path.open("wb") as file:
        BundleWriter.create_with_slots(file, bundle_key, slots).finish({})
    return BundleSubject("target", path, "sealed", (KEY, *words), tmp_path)


def test_cheap_parameters_are_broken(tmp_path: Path) -> None:
    row = run_attack(PassphraseAttack, bundle(tmp_path, Argon2Parameters(1, 64, 2)), QUICK)
    assert (row.verdict, row.error) == (Verdict.BROKEN, "")
    assert row.target is not None
    assert row.target.details["parameters"] == {"t": 1, "m_kib": 64, "p": 2}
    assert row.positive is not None
    assert row.positive.details["toy_search"]["tried"] > 100


def test_the_cheapest_of_several_slots_counts(tmp_path: Path) -> None:
    target = bundle(tmp_path, Argon2Parameters(3, 65_536, 4), Argon2Parameters(1, 64, 1))
    measured = PassphraseAttack().measure(target, Run(QUICK, "passphrase-guessing"))
    assert measured.broken
    assert measured.details["parameters"]["m_kib"] == 64


def test_the_defaults_are_not_broken(tmp_path: Path) -> None:
    path = small_bundle(tmp_path / "sealed.ncv", "sealed", KEY, np.random.default_rng(0))
    row = run_attack(PassphraseAttack, BundleSubject("s", path, "sealed", (KEY,), tmp_path), QUICK)
    assert (row.verdict, row.error) == (Verdict.NOT_BROKEN, "")
    assert row.target is not None
    assert row.target.details["in_the_bundle"] is False
    assert row.target.details["parameters"] == {"t": 3, "m_kib": 65_536, "p": 4}
    assert row.target.interval is not None
    assert row.target.interval[0] <= row.target.value <= row.target.interval[1]


def test_what_has_no_passphrase_is_skipped(tmp_path: Path) -> None:
    path = small_bundle(tmp_path / "bare.ncv", "bare", KEY, np.random.default_rng(0))
    row = run_attack(PassphraseAttack, BundleSubject("b", path, "bare", (KEY,), tmp_path), QUICK)
    assert row.skipped == "a bare bundle takes no passphrase"
    row = run_attack(PassphraseAttack, GeneratorSubject("g", control_generator((3, 16, 16))), QUICK)
    assert "no bundle" in row.skipped


def test_a_spent_budget_decides_nothing(tmp_path: Path) -> None:
    row = run_attack(PassphraseAttack, bundle(tmp_path, Argon2Parameters(1, 64, 1)), QUICK, seconds=1e-9)
    assert row.verdict is Verdict.INCONCLUSIVE


def test_cost_by_hand() -> None:
    # 2^39 guesses of a second each are 152,709,948 core hours.
    hours = 2**39 / 3600
    assert usd_to_find(40, 1.0) == pytest.approx(hours * USD_PER_CORE_HOUR / HARDWARE_ADVANTAGE)
    assert usd_to_find(41, 1.0) == pytest.approx(2 * usd_to_find(40, 1.0))
    assert Speed(Argon2Parameters(), (0.1, 0.25, 4.0)).guesses_per_core_second == 4


def test_the_interval_of_the_median_is_exact() -> None:
    six = Speed(Argon2Parameters(), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    assert (six.interval_s, six.confidence) == ((1.0, 6.0), 1 - 2 / 64)
    ten = Speed(Argon2Parameters(), tuple(float(i) for i in range(1, 11)))
    assert (ten.interval_s, ten.confidence) == ((2.0, 9.0), pytest.approx(1 - 2 * 11 / 1024))


@given(st.floats(20, 80), st.floats(1e-6, 10))
def test_bits_are_the_inverse_of_the_cost(bits: float, seconds: float) -> None:
    assert bits_for(usd_to_find(bits, seconds), seconds) == pytest.approx(bits)


def test_the_search_finds_the_word_from_the_slot_alone() -> None:
    slot = seal_slot(Passphrase("battery"), BundleKey(bytes(32)), Argon2Parameters(1, 8, 1))
    assert isinstance(slot, PassphraseSlot)
    assert search(LockedSlot(slot), ["correct", "horse", "battery", "staple"]) == "battery"
    assert search(LockedSlot(slot), ["correct", "horse"]) is None


def test_the_time_is_that_of_the_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def guess(slot: object, words: object) -> None:
        clock[0] += 0.5

    monkeypatch.setattr(passphrase_attack, "open_slot", guess)
    monkeypatch.setattr("neuralcipher.attacks.bundles.passphrase_attack.time.process_time", lambda: clock[0])
    slot = PassphraseSlot(bytes(16), bytes(48), Argon2Parameters(1, 8, 1))
    speed = time_guesses(LockedSlot(slot), Run(QUICK, "passphrase-guessing"))
    assert speed is not None
    assert set(speed.cpu_s) == {0.5}
