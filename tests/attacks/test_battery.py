"""The battery on many keys: dead and drifting bytes are found, ciphers pass; sequences are the keys' own."""

from __future__ import annotations

import numpy as np
import pytest
from generator_targets import SMALL, generator_subject
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.base import CONTROL_LEVEL, NotApplicable, Verdict
from neuralcipher.attacks.generators.battery import Battery, keystreams
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import BundleSubject


@pytest.mark.slow
@pytest.mark.parametrize(("name", "verdict"), [("dead-units", Verdict.BROKEN), ("feistel", Verdict.NOT_BROKEN)])
def test_verdicts(name: str, verdict: Verdict) -> None:
    row = run_attack(Battery, generator_subject(name), Settings())
    assert row.error == ""
    assert row.verdict is verdict
    assert row.positive is not None
    assert row.target is not None
    assert row.positive.rejects(CONTROL_LEVEL / 1000)
    assert row.target.samples == 60
    # As the catalogue has it: of LCG32 the block frequency passes for every key, and its p-values lie together.
    block_frequency = row.positive.details["block_frequency"]
    assert block_frequency["passed"] == 60
    assert block_frequency["uniformity_p"] < 1e-9


def test_too_little_time_for_uniformity_is_not_decided() -> None:
    row = run_attack(Battery, generator_subject("chacha20"), Settings(), seconds=1e-6)
    assert row.verdict is Verdict.INCONCLUSIVE


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 2500))
def test_sequences_are_the_keystreams_of_the_keys(keys: int, size: int) -> None:
    target, run = generator_subject("chacha20"), Run(Settings(), "battery")
    found = list(keystreams(target, run, keys, size))
    assert len(found) == keys
    last = target.start(run.key_bytes("key", keys - 1), SMALL)
    walked = np.concatenate([target.after(last, steps).numpy().reshape(-1) for steps in range(1, 5)])
    assert np.array_equal(found[-1], walked[:size])
    assert len({stream.tobytes() for stream in found}) == keys or size < 4


def test_a_bundle_has_no_keystream_for_strangers(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotApplicable):
        Battery().controls(BundleSubject("b", tmp_path, "sealed", (), tmp_path), Run(Settings(), "battery"))
