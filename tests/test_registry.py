"""Variants by name."""

from __future__ import annotations

import pytest

from neuralcipher.errors import UsageError
from neuralcipher.flows import base as flows
from neuralcipher.generators import base as generators
from neuralcipher.registry import Registry


def test_a_registered_variant_is_found_and_listed():
    registry: Registry[type] = Registry("neuralcipher.tests", "test")
    registry.register("mine")(int)
    assert registry.get("mine") is int
    assert registry.names() == ["mine"]


def test_an_unknown_name_is_answered_with_the_nearest_or_all():
    registry: Registry[type] = Registry("neuralcipher.tests", "test")
    registry.register("first")(int)
    registry.register("second")(str)
    with pytest.raises(UsageError, match="no test is called 'frist'") as near:
        registry.get("frist")
    assert near.value.hint == "did you mean first?"
    with pytest.raises(UsageError) as far:
        registry.get("zzz")
    assert far.value.hint == "there are: first, second"


def test_the_built_in_variants_are_entry_points():
    for name in ("feistel", "autoencoder", "chacha20"):
        assert generators.find(name)
    for name in ("latent", "autoencoder"):
        assert flows.find(name)
