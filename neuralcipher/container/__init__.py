"""The .ncv container: bundles of sections, sealed or bare. docs/format.md is the normative text."""

from neuralcipher.container.directory import Section
from neuralcipher.container.format import (
    AEAD_NAMES,
    DEFAULT_AEAD,
    MAX_PASSPHRASE_SLOTS,
    MAX_SLOTS,
    SUITE_BARE,
    SUITE_SEALED,
    SUITES,
    VERSION,
)
from neuralcipher.container.reading import BundleReader, Problem
from neuralcipher.container.rekey import add_slot, copy_with_slots, remove_slot
from neuralcipher.container.writing import BundleWriter

__all__ = [
    "AEAD_NAMES",
    "DEFAULT_AEAD",
    "MAX_PASSPHRASE_SLOTS",
    "MAX_SLOTS",
    "SUITES",
    "SUITE_BARE",
    "SUITE_SEALED",
    "VERSION",
    "BundleReader",
    "BundleWriter",
    "Problem",
    "Section",
    "add_slot",
    "copy_with_slots",
    "remove_slot",
]
