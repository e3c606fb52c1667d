"""What all attacks on generators have in common: found by name, plain details, the same again for the same seed."""

from __future__ import annotations

import json

import pytest
from generator_targets import generator_subject

from neuralcipher.attacks.base import Attack, Needs, find
from neuralcipher.attacks.generators import avalanche, battery, cycles, external, images, weak_keys
from neuralcipher.attacks.session import Run, Settings

ATTACKS: list[type[Attack]] = [
    avalanche.Avalanche,
    battery.Battery,
    cycles.Cycles,
    external.ExternalBatteries,
    images.ImageStatistics,
    weak_keys.WeakKeys,
]


@pytest.mark.parametrize("kind", ATTACKS)
def test_found_by_name(kind: type[Attack]) -> None:
    assert find(kind.info.name) is kind
    assert kind.info.needs is Needs.GENERATOR
    for text in (kind.info.statistic, kind.info.null, kind.info.rule, kind.info.failure):
        assert len(text) > 20


@pytest.mark.parametrize("kind", [avalanche.Avalanche, cycles.Cycles, images.ImageStatistics, weak_keys.WeakKeys])
@pytest.mark.parametrize("name", ["chacha20", "contracting"])
def test_details_are_plain_and_runs_repeat(kind: type[Attack], name: str) -> None:
    subject = generator_subject(name, (1, 32, 32))
    first, again, other = (kind().measure(subject, Run(Settings(seed=seed), kind.info.name)) for seed in (3, 3, 4))
    text = json.dumps(first.details, allow_nan=False)
    assert text == json.dumps(again.details)
    assert text != json.dumps(other.details)
    assert first.p_value == again.p_value
    assert first.figures
    assert first.decidable


@pytest.mark.parametrize("kind", [avalanche.Avalanche, cycles.Cycles, weak_keys.WeakKeys])
def test_a_large_latent_takes_a_smaller_sample(kind: type[Attack]) -> None:
    """A megabyte and more: identity costs nothing, so this counts what would be asked of a costly g."""
    subject = generator_subject("identity", (1, 1024, 1200))
    size = 1024 * 1200
    asked: list[int] = []
    step = subject.generator.next_latent

    def counted(z):  # type: ignore[no-untyped-def]
        asked.append(z.numel())
        return step(z)

    subject.generator.next_latent = counted  # type: ignore[method-assign]
    found = kind().measure(subject, Run(Settings(), kind.info.name))
    assert found.rejects(1e-6)
    assert sum(asked) < 400 * size
