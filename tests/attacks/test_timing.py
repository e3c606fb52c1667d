"""The timing attack sees an early exit and nothing in the product's unlock; its statistics by hand."""

from __future__ import annotations

import hmac
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neuralcipher.attacks.base import CONTROL_LEVEL, Verdict
from neuralcipher.attacks.bundles.container_attack import small_bundle
from neuralcipher.attacks.bundles.timing import Lock, Pairs, TimingAttack, cropped_t, guess, time_pairs, welch_t
from neuralcipher.attacks.judge import Row, gate, run_attack
from neuralcipher.attacks.planted.generators import control_generator
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import BundleSubject, GeneratorSubject
from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.errors import WrongKeyError
from neuralcipher.keys import Argon2Parameters, Key, Passphrase

KEY = Key(bytes(range(32)))
SECRET = bytes(range(100, 132))


def bundle(tmp_path: Path, suite: str) -> BundleSubject:
    path = small_bundle(tmp_path / f"{suite}.ncv", suite, KEY, np.random.default_rng(0))
    return BundleSubject(suite, path, suite, (KEY,), tmp_path)


def measured(target: BundleSubject) -> Row:
    """A run in which the positive control was caught; skips on a machine that is too busy for one."""
    for attempt in range(8):
        row = run_attack(TimingAttack, target, Settings(seed=attempt))
        assert row.error == ""
        if gate(row) == "":
            return row
        assert row.verdict is Verdict.INCONCLUSIVE
    pytest.skip("this machine is too busy: even the early exit of the positive control was not seen")


def test_sealed_is_not_told_apart(tmp_path: Path) -> None:
    row = measured(bundle(tmp_path, "sealed"))
    # On a machine that is rather busy the honest answer is that little could be seen.
    assert row.verdict in (Verdict.NOT_BROKEN, Verdict.INCONCLUSIVE)
    assert row.positive is not None
    assert row.positive.p_value is not None
    assert row.positive.p_value < CONTROL_LEVEL
    assert row.positive.value > 0.1


def test_an_early_exit_in_the_reader_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product's own unlock with a comparison that stops early and costs like one: the target must be BROKEN."""

    def slow_compare(first: bytes, second: bytes) -> bool:
        for a, b in zip(first, second, strict=True):  # noqa: SIM110  (all() would be another loop)
            if a != b:
                return False
        return True

    target = bundle(tmp_path, "sealed")
    monkeypatch.setattr("neuralcipher.container.reading.hmac", Comparing(slow_compare))
    assert measured(target).verdict is Verdict.BROKEN


class Comparing:
    """The module `hmac` with another comparison."""

    def __init__(self, compare_digest: object) -> None:
        self.compare_digest = compare_digest
        self.digest = hmac.digest


def test_a_passphrase_bundle_is_timed_through_a_key_slot(tmp_path: Path) -> None:
    words, path = Passphrase("correct horse"), tmp_path / "passphrase.ncv"
    with path.open("wb") as file:
        writer = BundleWriter.create_sealed(file, [words], argon2=Argon2Parameters(1, 8, 1))
        writer.finish({})
    target = BundleSubject("p", path, "sealed", (words,), tmp_path)
    positive, negative = TimingAttack().controls(target, Run(Settings(), "timing"))
    assert positive.path == negative.path != path
    with BundleReader.open(positive.path) as reader:
        reader.unlock(positive.credentials)
        assert len(reader.slots) == 2


def test_what_has_no_lock_is_skipped(tmp_path: Path) -> None:
    bare = run_attack(TimingAttack, bundle(tmp_path, "bare"), Settings())
    assert "every key opens it" in bare.skipped
    g = run_attack(TimingAttack, GeneratorSubject("g", control_generator((3, 16, 16))), Settings())
    assert "no bundle file" in g.skipped


@given(st.integers(0, 31), st.integers(0, 2**32))
def test_a_guess_shares_exactly_so_many_bytes(shared: int, seed: int) -> None:
    wrong = guess(SECRET, shared, np.random.default_rng(seed))
    assert len(wrong) == 32
    assert wrong[:shared] == SECRET[:shared]
    assert all(a != b for a, b in zip(wrong[shared:], SECRET[shared:], strict=True))


def test_pairs_by_hand() -> None:
    pairs = Pairs(np.array([5, 5, 5, 5, 5]), np.array([6, 7, 8, 5, 4]))
    assert pairs.longer == (3, 4)
    assert pairs.p_value == pytest.approx(2 * 5 / 16)  # P(at least 3 heads of 4)
    ties = Pairs(np.array([5, 5]), np.array([5, 5]))
    assert (ties.longer, ties.p_value) == ((0, 0), 1.0)
    assert math.isinf(pairs.visible_ns(CONTROL_LEVEL))  # five pairs show nothing


def test_visible_difference_is_seen_with_the_power_that_it_states() -> None:
    draw = np.random.default_rng(1)
    seen = 0
    for _ in range(200):
        noise = draw.normal(0, 1000, (2, 600)).astype(np.int64)
        size = Pairs(noise[0], noise[1]).visible_ns(CONTROL_LEVEL / 2)
        seen += Pairs(noise[0], noise[1] + round(size)).p_value <= CONTROL_LEVEL
    assert 0.75 < seen / 200 < 0.98


def test_the_null_is_exact_under_any_noise() -> None:
    """A clock that jumps, drifts and remembers: the p-value stays valid because the order was a coin."""
    small = 0
    for seed in range(400):
        draw = np.random.default_rng(seed)
        noise = np.cumsum(draw.standard_cauchy(80)) + 3 * (np.arange(80) % 2)
        order = draw.integers(0, 2, 40).astype(bool)
        first, second = noise[::2], noise[1::2]
        near, far = np.where(order, first, second), np.where(order, second, first)
        small += Pairs((far * 1000).astype(np.int64), (near * 1000).astype(np.int64)).p_value <= 0.05
    assert small <= stats.binom.isf(1e-4, 400, 0.05)


def test_time_pairs_gives_each_guess_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0]

    def door(wrong: bytes) -> object:
        def run() -> None:
            clock[0] += 10 + sum(a == b for a, b in zip(wrong, SECRET, strict=True))
            raise WrongKeyError("no")

        return run

    monkeypatch.setattr("neuralcipher.attacks.bundles.timing.time.perf_counter_ns", lambda: clock[0])
    pairs = time_pairs(Lock("secret", SECRET, door), 50, np.random.default_rng(0))
    assert set(pairs.far.tolist()) == {10}
    assert set(pairs.near.tolist()) == {41}
    assert pairs.p_value == pytest.approx(2 * 0.5**50)


def test_welch_agrees_with_scipy_and_cropping_drops_outliers() -> None:
    draw = np.random.default_rng(3)
    first, second = draw.integers(0, 100, 40), draw.integers(5, 200, 70)
    assert welch_t(first, second) == pytest.approx(stats.ttest_ind(second, first, equal_var=False).statistic)
    assert welch_t(first[:1], second) == 0.0
    assert welch_t(np.array([3, 3, 3]), np.array([3, 3, 3])) == 0.0
    far = np.r_[draw.normal(1000, 10, 500), np.full(20, 10**9)].astype(np.int64)
    near = np.r_[draw.normal(1010, 10, 500), np.full(20, 10**9)].astype(np.int64)
    assert abs(welch_t(far, near)) < 4.5 < cropped_t(Pairs(far, near))


def test_the_planted_suites_take_the_same_bundle(tmp_path: Path) -> None:
    target = bundle(tmp_path, "sealed")
    positive, negative = TimingAttack().controls(target, Run(Settings(), "timing"))
    assert replace(positive, name="", suite="") == replace(negative, name="", suite="")
    assert positive.path == target.path
