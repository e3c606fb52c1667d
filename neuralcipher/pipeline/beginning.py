"""How a bundle begins: its root key, salt and slots, drawn anew or taken from an unfinished sealing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from neuralcipher.container import SUITE_BARE, SUITE_SEALED, BundleReader, BundleWriter
from neuralcipher.container.format import SALT_BYTES
from neuralcipher.container.writing import check_credentials
from neuralcipher.errors import UsageError, WrongKeyError
from neuralcipher.keys import Argon2Parameters, BundleKey, Credential, Key, SegmentSeed, Slot, seal_slot, segment_seed
from neuralcipher.pipeline.options import SealOptions


@dataclass(frozen=True, slots=True)
class Beginning:
    """What every file of one sealing has in common. root: the bundle key (sealed) or the key file (bare)."""

    root: BundleKey | Key
    salt: bytes
    slots: tuple[Slot, ...]
    aead: str

    @classmethod
    def fresh(cls, keys: Sequence[Credential], options: SealOptions, argon2: Argon2Parameters | None) -> Beginning:
        """Raises UsageError for credentials or a suite that cannot be, LimitError for too many credentials."""
        salt = os.urandom(SALT_BYTES)
        if options.suite == SUITE_SEALED:
            check_credentials(keys)
            bundle_key = BundleKey.generate()
            slots = tuple(seal_slot(credential, bundle_key, argon2) for credential in keys)
            return cls(bundle_key, salt, slots, options.aead)
        if options.suite != SUITE_BARE:
            raise UsageError(f"no suite is called {options.suite!r}", hint="there are: sealed, bare")
        if len(keys) != 1 or not isinstance(keys[0], Key):
            raise UsageError("the suite bare takes exactly one key file", hint="use the suite sealed for a passphrase")
        return cls(keys[0], salt, (), "")

    @classmethod
    def kept(cls, header: Path, keys: Sequence[Credential]) -> Beginning:
        """Read back what `write_header` wrote. Raises WrongKeyError unless the keys are those of every slot."""
        with BundleReader.open(header) as reader:
            if reader.suite == SUITE_BARE:
                if len(keys) != 1 or not isinstance(keys[0], Key):
                    raise WrongKeyError("an unfinished bare bundle takes one key file")
                return cls(keys[0], reader.header.salt, (), "")
            for credential in keys:
                reader.unlock([credential])
            if len(keys) != len(reader.slots):
                raise WrongKeyError("an unfinished bundle has another number of keys")
            return cls(reader.bundle_key, reader.header.salt, reader.slots, reader.aead)

    def writer(self, file: BinaryIO) -> BundleWriter:
        """Begin the bundle. Each call draws a new salt for the payload."""
        if isinstance(self.root, Key):
            return BundleWriter.create_bare(file, self.root, salt=self.salt)
        return BundleWriter.create_with_slots(file, self.root, self.slots, aead=self.aead, salt=self.salt)

    def segment_seed(self, number: int) -> SegmentSeed:
        """The seed of a segment's start latent."""
        return segment_seed(self.root, self.salt, number)
