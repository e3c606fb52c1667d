"""Guessing passphrases (23): what a guess costs with the bundle's own Argon2id parameters, in money."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import stats

from neuralcipher.attacks.base import Info, Measurement, Needs, NotApplicable, ThreatModel, register
from neuralcipher.attacks.figures import Lines
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import BundleSubject, Subject, bundle_of
from neuralcipher.container import SUITE_BARE, BundleReader, BundleWriter
from neuralcipher.keys import (
    Argon2Parameters,
    BundleKey,
    Credential,
    Passphrase,
    PassphraseSlot,
    open_slot,
    seal_slot,
)

USD_PER_CORE_HOUR = 0.01
"""A rented core that may be taken away at any time; on-demand cores cost about four times as much."""

HARDWARE_ADVANTAGE = 10.0
"""How many times cheaper than a core of this machine a guesser's hardware is assumed to be."""

BITS = (40, 50, 60)
"""Of the passphrase: 40 is four words of a list of 1,024 or about nine random letters."""

AFFORDABLE_USD = 1000.0
"""A passphrase of 40 bits that costs less than this, on average, is broken."""

FLOOR = Argon2Parameters(t=1, m_kib=8, p=1)
"""The smallest parameters that a reader accepts: the positive control."""

STANDARD = Argon2Parameters(t=3, m_kib=65_536, p=4)
"""RFC 9106, section 4, second recommended option: the negative control."""

_TOY_WORDS = 4096


@dataclass(frozen=True, slots=True)
class LockedSlot:
    """What a guesser has: one passphrase slot of a bundle, which is public."""

    slot: PassphraseSlot


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured guesses. cpu_s: core seconds of each, sorted."""

    parameters: Argon2Parameters
    cpu_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return float(np.median(self.cpu_s))

    @property
    def interval_s(self) -> tuple[float, float]:
        """Of the median of the distribution, by order statistics: exact, with `confidence`; 6 or more guesses."""
        place = self._place
        return self.cpu_s[place - 1], self.cpu_s[-place]

    @property
    def confidence(self) -> float:
        """At least .95."""
        return 1 - 2 * float(stats.binom.cdf(self._place - 1, len(self.cpu_s), 0.5))

    @property
    def _place(self) -> int:
        return max(1, int(stats.binom.ppf(0.025, len(self.cpu_s), 0.5)))

    @property
    def guesses_per_core_second(self) -> float:
        return 1 / self.median_s


def usd_to_find(bits: float, seconds: float) -> float:
    """Average cost of finding a passphrase of so many bits, half of all guesses, at `seconds` a guess on a core."""
    return float(2.0 ** (bits - 1)) * seconds / 3600 * USD_PER_CORE_HOUR / HARDWARE_ADVANTAGE


def bits_for(usd: float, seconds: float) -> float:
    """The bits at which a search costs `usd`: the inverse of `usd_to_find`."""
    return math.log2(usd / usd_to_find(1.0, seconds)) + 1


@register("passphrase-guessing")
class PassphraseAttack:
    """Times guesses at the weakest passphrase slot, and cracks a short passphrase where the budget allows it."""

    info: ClassVar[Info] = Info(
        number=23,
        name="passphrase-guessing",
        title="what guessing a passphrase costs",
        properties=(3,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.BUNDLE,
        statistic=f"average cost of a passphrase of 40 bits in US dollars: core seconds a guess, at {USD_PER_CORE_HOUR}"
        f" a core hour, on hardware {HARDWARE_ADVANTAGE:.0f} times cheaper than this core",
        null="none: a cost and no distribution; the interval is that of the median time of a guess",
        rule=f"BROKEN below {AFFORDABLE_USD:,.0f} dollars; INCONCLUSIVE if the interval holds that sum",
        positive="a slot at the smallest Argon2id parameters that a reader accepts (t=1, m=8 KiB, p=1)",
        negative="a slot at RFC 9106's second recommended option (t=3, m=64 MiB, p=4)",
        failure="whoever has the file finds an ordinary passphrase by trying, for the price of a computer.",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """Two small bundles that differ in the parameters of their passphrase slot."""
        bundle = bundle_of(subject)
        _applicable(bundle)
        weak = _bundle_with(bundle, FLOOR, "floor", run)
        return weak, _bundle_with(bundle, STANDARD, "standard", run)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """Time guesses at every kind of passphrase slot and take the cheapest."""
        bundle = bundle_of(subject)
        _applicable(bundle)
        slots, stored = _slots(bundle, run)
        speeds, stopped = [], False
        for number, slot in enumerate(slots):
            speed = time_guesses(LockedSlot(slot), run)
            run.progress((number + 1) / len(slots))
            if speed is not None:
                speeds.append(speed)
            if run.out_of_time() and number + 1 < len(slots):
                stopped = True
                break
        if not speeds:
            return _nothing_timed()
        worst = min(speeds, key=lambda speed: speed.median_s)
        cracked = _crack(worst.parameters, run)
        return _measurement(worst, stored, cracked, stopped)


def _applicable(bundle: BundleSubject) -> None:
    if bundle.suite == SUITE_BARE:
        raise NotApplicable("a bare bundle takes no passphrase")


def _bundle_with(bundle: BundleSubject, parameters: Argon2Parameters, label: str, run: Run) -> BundleSubject:
    words: Credential = Passphrase(run.key_bytes(label, 0).hex())
    path = bundle.scratch / f"passphrase-control-{label}.ncv"
    with path.open("wb") as file:
        writer = BundleWriter.create_sealed(file, [words], argon2=parameters)
        writer.finish({})
    return BundleSubject(f"Argon2id at its {label}", path, "sealed", (words,), bundle.scratch)


def _slots(bundle: BundleSubject, run: Run) -> tuple[list[PassphraseSlot], bool]:
    """(one slot of each set of parameters in the bundle, whether the bundle has any): else one with the defaults."""
    with BundleReader.open(bundle.path) as reader:
        found = {slot.argon2: slot for slot in reader.slots if isinstance(slot, PassphraseSlot)}
    if found:
        return list(found.values()), True
    return [_sealed_slot(run.key_bytes("default", 0).hex(), Argon2Parameters(), run)], False


def _sealed_slot(words: str, parameters: Argon2Parameters, run: Run) -> PassphraseSlot:
    slot = seal_slot(Passphrase(words), BundleKey(run.key_bytes("slot", 0)), parameters)
    if not isinstance(slot, PassphraseSlot):
        raise TypeError("a passphrase gets a passphrase slot")
    return slot


def time_guesses(view: LockedSlot, run: Run) -> Speed | None:
    """Core seconds of wrong guesses, one core or many; None if the budget does not allow six."""
    least, most, share_s = 6, 200, run.pick(quick=0.6, full=15.0)
    times: list[float] = []
    started = time.monotonic()
    for words in _wrong_guesses(run):
        before = time.process_time()
        open_slot(view.slot, words)
        times.append(time.process_time() - before)
        if len(times) >= least and (len(times) >= most or time.monotonic() - started > share_s):
            break
        if run.out_of_time():
            break
    return Speed(view.slot.argon2, tuple(sorted(times))) if len(times) >= least else None


def _wrong_guesses(run: Run) -> Iterator[Passphrase]:
    number = 0
    while True:
        yield Passphrase(run.key_bytes("wrong guess", number).hex())
        number += 1


def search(view: LockedSlot, words: Sequence[str]) -> str | None:
    """The attacker: the word that opens the slot, or None."""
    return next((word for word in words if open_slot(view.slot, Passphrase(word)) is not None), None)


def _crack(parameters: Argon2Parameters, run: Run) -> dict[str, object]:
    """A passphrase of 12 bits at these parameters, searched for within a second or so: does guessing work at all?"""
    words = [run.key_bytes("word", number).hex()[:8] for number in range(_TOY_WORDS)]
    right = words[int(run.draw("word").integers(_TOY_WORDS))]
    slot = _sealed_slot(right, parameters, run)
    started, tried, found = time.monotonic(), 0, None
    while found is None and tried < len(words) and time.monotonic() - started < run.pick(quick=0.5, full=10.0):
        found = search(LockedSlot(slot), words[tried : tried + 1])
        tried += 1
    confirmed = found is not None and open_slot(slot, Passphrase(found)) is not None
    return {"words": len(words), "tried": tried, "found": confirmed and found == right}


def _nothing_timed() -> Measurement:
    note = "the budget did not allow six guesses"
    return Measurement(value=float("nan"), unit="USD", samples=0, decidable=False, note=note)


def _measurement(worst: Speed, stored: bool, cracked: dict[str, object], stopped: bool) -> Measurement:
    cost = {bits: usd_to_find(bits, worst.median_s) for bits in BITS}
    low, high = (usd_to_find(BITS[0], seconds) for seconds in worst.interval_s)
    parameters = f"t={worst.parameters.t}, m={worst.parameters.m_kib} KiB, p={worst.parameters.p}"
    where = "" if stored else " (the bundle has no passphrase slot; these are what a new one would get)"
    needed = bits_for(AFFORDABLE_USD, worst.median_s)
    return Measurement(
        value=cost[40],
        unit="USD",
        samples=len(worst.cpu_s),
        interval=(low, high),
        confidence=worst.confidence,
        threshold=AFFORDABLE_USD,
        broken=cost[40] < AFFORDABLE_USD,
        decidable=not stopped and not low < AFFORDABLE_USD < high,
        effort=f"{len(worst.cpu_s)} timed guesses, {cracked['tried']} of {cracked['words']} words of a toy list",
        note=f"Argon2id with {parameters}{where}: {worst.guesses_per_core_second:,.1f} guesses a core second; a"
        f" passphrase of 40, 50, 60 bits costs {cost[40]:,.3g}, {cost[50]:,.3g}, {cost[60]:,.3g} dollars on average;"
        f" {AFFORDABLE_USD:,.0f} dollars buy {needed:.1f} bits",
        details={
            "parameters": {"t": worst.parameters.t, "m_kib": worst.parameters.m_kib, "p": worst.parameters.p},
            "core_seconds_a_guess": worst.median_s,
            "guesses_per_core_second": worst.guesses_per_core_second,
            "usd": {str(bits): usd for bits, usd in cost.items()},
            "bits_for_the_threshold": needed,
            "usd_per_core_hour": USD_PER_CORE_HOUR,
            "hardware_advantage": HARDWARE_ADVANTAGE,
            "in_the_bundle": stored,
            "toy_search": cracked,
        },
        figures=(_figure(worst.median_s),),
    )


def _figure(seconds: float) -> Lines:
    bits = [float(b) for b in range(20, 81, 4)]
    dollars = [float(np.log10(usd_to_find(b, seconds))) for b in bits]
    reference = [float(np.log10(usd_to_find(b, 1e-6))) for b in bits]
    return Lines(
        "cost of guessing a passphrase",
        "bits of the passphrase",
        "log10 of US dollars",
        {"this slot": (bits, dollars), "a microsecond a guess (no key stretching)": (bits, reference)},
        marks={f"{AFFORDABLE_USD:,.0f} dollars": float(np.log10(AFFORDABLE_USD))},
    )
