"""Attacks that need no time, for tests of what runs them. A worker process imports them from here."""

from __future__ import annotations

import os
from typing import Any

from neuralcipher.attacks.base import Info, Measurement, Needs, NotApplicable, ThreatModel
from neuralcipher.attacks.planted.generators import control_generator, weak_generator
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import GeneratorSubject, Subject


def info(name: str, **other: Any) -> Info:
    stated: dict[str, Any] = {
        "number": 0,
        "name": name,
        "title": "a fake",
        "properties": (2,),
        "threat_models": (ThreatModel.KNOWN_CIPHERTEXT,),
        "needs": Needs.GENERATOR,
        "statistic": "the share of bytes that stay",
        "null": "1/256",
        "rule": "more than a half",
        "positive": "identity",
        "negative": "chacha20",
        "failure": "bytes stay",
    }
    return Info(**{**stated, **other})


class Stays:
    """Do bytes stay what they were from one step to the next?"""

    info = info("stays")

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        assert isinstance(subject, GeneratorSubject)
        good = GeneratorSubject("chacha20", control_generator(subject.shape))
        return GeneratorSubject("identity", weak_generator("identity", subject.shape)), good

    def measure(self, subject: Subject, run: Run) -> Measurement:
        assert isinstance(subject, GeneratorSubject)
        z = subject.start(run.key_bytes("one", 0), subject.shape)
        share = float((subject.after(z) == z).float().mean())
        run.progress(1.0)
        return Measurement(share, "of 1", 1, p_value=0.0 if share > 0.5 else 0.8, note=f"drawn {run.seed('x')}")


class Blind(Stays):
    """Its positive control is not caught."""

    info = info("blind")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        return Measurement(0.0, "of 1", 1, p_value=0.5)


class Alarmist(Stays):
    """Its negative control is not passed."""

    info = info("alarmist")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        return Measurement(1.0, "of 1", 1, p_value=0.0)


class Weak(Stays):
    """Too few samples for the target."""

    info = info("weak")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        return Measurement(0.0, "of 1", 1, broken=run.role == "positive", decidable=False)


class Crashes(Stays):
    info = info("crashes")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        raise RuntimeError("a bug")


class Dies(Stays):
    """Takes its process along."""

    info = info("dies")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        os._exit(7)


class Nothing(Stays):
    info = info("nothing")

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        raise NotApplicable("there is nothing here")


class Design(Stays):
    """A break by design."""

    info = info("design")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        return Measurement(1.0, "of 1", 1, broken=run.role != "negative", known=True)


class Interrupts(Stays):
    info = info("interrupts")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        raise KeyboardInterrupt


class OfPairs(Stays):
    info = info("of-pairs", needs=Needs.PAIR)
