"""From a key file or passphrase to the subkeys of a bundle and the start latent of a segment."""

from neuralcipher.keys.keyfile import Key
from neuralcipher.keys.latent import start_latent
from neuralcipher.keys.passphrase import Argon2Parameters, Passphrase
from neuralcipher.keys.private import key_file_warning
from neuralcipher.keys.slots import Credential, KeySlot, PassphraseSlot, Slot, open_slot, seal_slot
from neuralcipher.keys.strength import is_weak
from neuralcipher.keys.subkeys import (
    LABEL_CHECKPOINT,
    LABEL_COMMIT,
    LABEL_HEADER,
    LABEL_PAYLOAD,
    LABEL_Z0,
    BundleKey,
    SegmentSeed,
    derive,
    segment_seed,
)

__all__ = [
    "LABEL_CHECKPOINT",
    "LABEL_COMMIT",
    "LABEL_HEADER",
    "LABEL_PAYLOAD",
    "LABEL_Z0",
    "Argon2Parameters",
    "BundleKey",
    "Credential",
    "Key",
    "KeySlot",
    "Passphrase",
    "PassphraseSlot",
    "SegmentSeed",
    "Slot",
    "derive",
    "is_weak",
    "key_file_warning",
    "open_slot",
    "seal_slot",
    "segment_seed",
    "start_latent",
]
