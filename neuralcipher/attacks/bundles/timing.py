"""Timing (25): does unlocking take longer, the more leading bytes of a guess are right?

The referee makes the guesses, as only he can: pairs of one that shares no leading byte with the secret and one that
shares 31 of 32, in random order. Under the null the order carries no information, so a sign test over pairs is exact
whatever the noise of the machine; Welch's t with |t| < 4.5, the usual rule, is shown beside it.
Source: Reparaz, Balasch and Verbauwhede, Dude, is my code constant time? (2017).
"""

from __future__ import annotations

import gc
import hmac
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Needs, NotApplicable, ThreatModel, register
from neuralcipher.attacks.bundles.container_attack import attackable
from neuralcipher.attacks.figures import Histogram, Lines
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import binomial_two_sided, clopper_pearson, smallest_visible
from neuralcipher.attacks.subjects import BundleSubject, Subject, bundle_of
from neuralcipher.container import SUITE_BARE, SUITE_SEALED, BundleReader
from neuralcipher.container.format import MAC_BYTES, SealedHeader, Source, header_mac, parse
from neuralcipher.errors import NeuralCipherError
from neuralcipher.keys import LABEL_COMMIT, Key, derive, open_slot

EARLY_EXIT = "planted-early-exit"
CONSTANT_TIME = "planted-constant-time"
"""Suites of the controls: the same bundle, whose commitment and MAC are compared by a loop over bytes that stops at
the first difference, or by `hmac.compare_digest`."""

SECRET_BYTES = 32
EFFECT_NS = 1000.0
"""What an undecided row would have missed: a difference of one microsecond, about an early exit of 31 bytes here."""

DUDECT_T = 4.5
_CROPS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_REPEATS = 3

Door = Callable[[], None]
"""One try at the lock, which always fails; only its time is seen."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One secret of a bundle and how a guess of it is tried.

    secret: 32 bytes, the referee's. door: from a guess, everything prepared but the part that is timed.
    """

    name: str
    secret: bytes
    door: Callable[[bytes], Door]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Times of the guesses that share no byte and of those that share 31, ns, pair by pair."""

    far: NDArray[np.int64]
    near: NDArray[np.int64]

    @property
    def longer(self) -> tuple[int, int]:
        """(pairs in which the near guess took longer, pairs without a tie)."""
        return int((self.near > self.far).sum()), int((self.near != self.far).sum())

    @property
    def p_value(self) -> float:
        """Exact, two-sided: heads among fair coins."""
        successes, trials = self.longer
        return binomial_two_sided(successes, trials) if trials else 1.0

    def visible_ns(self, level: float) -> float:
        """The least constant difference that the sign test sees with power .9 at `level`, infinite if none.

        A shift by s turns the sign of those pairs that differ by less: half of the share |d| < s, on either side.
        """
        differences = np.sort(np.abs(self.near - self.far))
        share = smallest_visible(len(differences), level)
        place = math.ceil(share * len(differences))
        return math.inf if share >= 1 or place > len(differences) else float(differences[place - 1])


@register("timing")
class TimingAttack:
    """Times `unlock` on wrong keys, commitments and MACs that are nearly right."""

    info: ClassVar[Info] = Info(
        number=25,
        name="timing",
        title="time of unlocking against the right leading bytes of a guess",
        properties=(),
        threat_models=(ThreatModel.ACTIVE,),
        needs=Needs.BUNDLE,
        statistic="2 P(a guess with 31 right leading bytes takes longer than one with none) - 1, over pairs",
        null="0: the order within a pair is random, so each pair is a fair coin, exactly, on any machine",
        rule="BROKEN by an exact two-sided sign test, Bonferroni over the three secrets; INCONCLUSIVE if the noise"
        " would hide 1 microsecond; Welch's |t| < 4.5 (dudect) is reported beside it",
        positive="the same bundle with its MAC and commitment compared byte by byte, stopping at the first difference",
        negative="the same bundle with hmac.compare_digest in that place",
        failure="someone who can have many guesses tried, and time them, finds a MAC or a key byte by byte.",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """The target's own bundle behind two planted comparisons."""
        bundle = bundle_of(subject)
        if bundle.suite == SUITE_BARE:
            raise NotApplicable("a bare bundle compares nothing with a secret: every key opens it")
        _, key, path = attackable(bundle)
        control = replace(bundle, path=path, credentials=(key,))
        return (
            replace(control, name="early exit", suite=EARLY_EXIT),
            replace(control, name="compare_digest", suite=CONSTANT_TIME),
        )

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """Time pairs of guesses at each lock."""
        bundle = bundle_of(subject)
        if bundle.suite == SUITE_BARE:
            raise NotApplicable("a bare bundle compares nothing with a secret: every key opens it")
        locks = _locks(bundle)
        count = run.pick(quick=600, full=15_000)
        found: dict[str, Pairs] = {}
        stopped = False
        for number, lock in enumerate(locks):
            pairs = time_pairs(lock, count, run.draw(lock.name), stop=run.out_of_time)
            run.progress((number + 1) / (len(locks) + 1))
            stopped = stopped or len(pairs.far) < count
            found[lock.name] = pairs
        ladder = _ladder(locks[-1], run)
        return _measurement(found, ladder, stopped)


def time_pairs(
    lock: Lock,
    count: int,
    draw: np.random.Generator,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Pairs:
    """Time `count` pairs of guesses, the best of three tries each; fewer if `stop` says so.

    Which of a pair is the near one is a coin: it is made and tried first or second, all else is the same for both.
    """
    far, near = np.zeros(count, np.int64), np.zeros(count, np.int64)
    near_first = draw.integers(0, 2, count).astype(bool)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for i in range(count):
            shared = (SECRET_BYTES - 1, 0) if near_first[i] else (0, SECRET_BYTES - 1)
            guesses = [guess(lock.secret, count, draw) for count in shared]
            doors = [lock.door(wrong) for wrong in guesses]
            best = [2**62, 2**62]
            for _ in range(_REPEATS):
                for which in (0, 1):
                    best[which] = min(best[which], _time(doors[which]))
            far[i], near[i] = best[::-1] if near_first[i] else best
            if i % 100 == 99:
                gc.collect(0)
                if stop():
                    return Pairs(far[: i + 1], near[: i + 1])
    finally:
        if collecting:
            gc.enable()
    return Pairs(far, near)


def guess(secret: bytes, shared: int, draw: np.random.Generator) -> bytes:
    """32 bytes of which exactly the first `shared` are right, and no later one at its place, shared < 32."""
    steps = draw.integers(1, 256, SECRET_BYTES).tolist()  # the same work for every `shared`
    wrong = bytes((byte + step) % 256 for byte, step in zip(secret, steps, strict=True))
    return secret[:shared] + wrong[shared:]


def _time(door: Door) -> int:
    """ns of one failing try."""
    started = time.perf_counter_ns()
    try:
        door()
    except NeuralCipherError:
        return time.perf_counter_ns() - started
    raise AssertionError("a wrong guess opened the bundle")


def welch_t(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Welch's t of second over first; 0 if neither varies. Source: Welch (1947)."""
    if min(len(first), len(second)) < 2:
        return 0.0
    spread = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return float((second.mean() - first.mean()) / math.sqrt(spread)) if spread > 0 else 0.0


def cropped_t(pairs: Pairs) -> float:
    """Welch's t of largest size after cropping both sides at several percentiles of all times."""
    pooled = np.concatenate([pairs.far, pairs.near])
    limits = [np.quantile(pooled, crop) for crop in _CROPS]
    values = [welch_t(pairs.far[pairs.far <= limit], pairs.near[pairs.near <= limit]) for limit in limits]
    return max(values, key=abs)


def _locks(bundle: BundleSubject) -> list[Lock]:
    """The three secrets that `unlock` meets: the key file, the commitment and the header's MAC."""
    planted = bundle.suite in (EARLY_EXIT, CONSTANT_TIME)
    file, key, _ = attackable(replace(bundle, suite=SUITE_SEALED) if planted else bundle)
    data = file.data
    reader = _reader(data)
    reader.unlock([key])
    header, covered = reader.header, data[: reader.payload_offset - MAC_BYTES]
    if not isinstance(header, SealedHeader):
        raise NotApplicable("a bare bundle compares nothing with a secret: every key opens it")
    mac, commit = header_mac(covered, header, reader.bundle_key), header.commit
    end, place = reader.payload_offset, covered.index(commit)
    tail = data[end : end + 1024]  # unlocking reads nothing of the payload
    compare = {EARLY_EXIT: _early_exit, CONSTANT_TIME: _constant_time}.get(bundle.suite)

    def door(changed: bytes, credential: Key) -> Door:
        if compare is not None:
            return lambda: _unlock_with(changed, credential, compare)
        opened = _reader(changed)
        return lambda: opened.unlock([credential])

    return [
        Lock("key", key.reveal(), lambda wrong: door(covered + mac + tail, Key(wrong))),
        Lock(
            "commitment",
            commit,
            lambda wrong: door(covered[:place] + wrong + covered[place + len(commit) :] + mac + tail, key),
        ),
        Lock("MAC", mac, lambda wrong: door(covered + wrong + tail, key)),
    ]


def _reader(data: bytes) -> BundleReader:
    return BundleReader(Source(io.BytesIO(data), len(data), "the bundle"), Path("the bundle"))


class _RefusedError(NeuralCipherError):
    """What the planted locks answer."""


def _unlock_with(data: bytes, key: Key, compare: Callable[[bytes, bytes], bool]) -> None:
    """The steps of `BundleReader.unlock` around another comparison."""
    preamble = parse(Source(io.BytesIO(data), len(data), "the bundle"))
    header = preamble.header
    if isinstance(header, SealedHeader):
        for slot in header.slots:
            bundle_key = open_slot(slot, key)
            if bundle_key is None:
                continue
            if not compare(derive(bundle_key, header.salt, LABEL_COMMIT), header.commit):
                break
            if compare(header_mac(preamble.covered, header, bundle_key), preamble.check):
                return
            break
    raise _RefusedError("refused")


def _early_exit(first: bytes, second: bytes) -> bool:
    for a, b in zip(first, second, strict=True):  # noqa: SIM110  (the loop is the fault that is planted)
        if a != b:
            return False
    return True


def _constant_time(first: bytes, second: bytes) -> bool:
    return hmac.compare_digest(first, second)


def _ladder(lock: Lock, run: Run) -> Mapping[int, float]:
    """Shared leading bytes -> median time, ns: a picture, and no test."""
    draw, rungs = run.draw("ladder"), (0, 4, 8, 12, 16, 20, 24, 28, 31)
    times: dict[int, list[int]] = {rung: [] for rung in rungs}
    for _ in range(run.pick(quick=40, full=1000)):
        for rung in draw.permutation(rungs).tolist():
            door = lock.door(guess(lock.secret, rung, draw))
            times[rung].append(min(_time(door) for _ in range(_REPEATS)))
        if run.out_of_time():
            break
    return {rung: float(np.median(values)) for rung, values in times.items()}


def _measurement(found: Mapping[str, Pairs], ladder: Mapping[int, float], stopped: bool) -> Measurement:
    worst = min(found, key=lambda name: (found[name].p_value, -found[name].longer[0]))
    successes, trials = found[worst].longer
    p_value = min(1.0, len(found) * found[worst].p_value)
    low, high = clopper_pearson(successes, trials) if trials else (0.0, 1.0)
    visible = {name: pairs.visible_ns(CONTROL_LEVEL / 2 / len(found)) for name, pairs in found.items()}
    t_values = {name: cropped_t(pairs) for name, pairs in found.items()}
    medians = {name: float(np.median(pairs.near - pairs.far)) for name, pairs in found.items()}
    blindest = max(visible.values())
    flags = [f"|t| of {name} is {abs(t):.1f}, above {DUDECT_T}" for name, t in t_values.items() if abs(t) > DUDECT_T]
    seen = f"{blindest:.0f} ns" if math.isfinite(blindest) else "none"
    return Measurement(
        value=2 * successes / trials - 1 if trials else 0.0,
        unit="advantage",
        samples=min(len(pairs.far) for pairs in found.values()),
        interval=(2 * low - 1, 2 * high - 1),
        p_value=p_value,
        decidable=not stopped and blindest <= EFFECT_NS,
        effort=f"{sum(len(pairs.far) for pairs in found.values()):,} pairs of guesses, best of {_REPEATS} tries each",
        note=f"the {worst} tells most: near guesses took {medians[worst]:+.0f} ns (median), p = {p_value:.2g} over"
        f" three secrets; Welch's |t| is {abs(t_values[worst]):.1f} (dudect's limit: {DUDECT_T}); differences down to"
        f" {seen} would have been seen",
        flags=tuple(flags),
        details={
            name: {
                "median_difference_ns": medians[name],
                "longer": list(pairs.longer),
                "p_value": pairs.p_value,
                "welch_t": t_values[name],
                "visible_ns": visible[name] if math.isfinite(visible[name]) else None,
                "median_ns": float(np.median(pairs.far)),
            }
            for name, pairs in found.items()
        },
        figures=(_ladder_figure(ladder), _difference_figure(worst, found[worst])),
    )


def _ladder_figure(ladder: Mapping[int, float]) -> Lines:
    rungs: Sequence[float] = [float(rung) for rung in ladder]
    return Lines(
        "time of refusing a MAC",
        "leading bytes that are right",
        "median, microseconds",
        {"unlock": (rungs, [ladder[int(rung)] / 1000 for rung in rungs])},
    )


def _difference_figure(name: str, pairs: Pairs) -> Histogram:
    """Signs flipped at random are the null: the middle of the differences, and where their median lies."""
    differences = (pairs.near - pairs.far).astype(np.float64)
    limit = float(np.quantile(np.abs(differences), 0.95))
    inner = differences[np.abs(differences) <= limit]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (400, len(inner)))
    null = np.median(signs * inner, axis=1)
    return Histogram(
        f"median difference of {name} guesses, and under random signs",
        "ns",
        null.tolist(),
        {"observed": float(np.median(differences))},
    )
