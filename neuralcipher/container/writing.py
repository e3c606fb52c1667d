"""Writing bundles: sections and metadata, once from front to back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from neuralcipher.container.directory import (
    MAX_SECTIONS,
    TRAILER_BYTES,
    Section,
    check_section,
    pack_directory,
    pack_trailer,
)
from neuralcipher.container.format import (
    AEAD_NAMES,
    DEFAULT_AEAD,
    MAX_PASSPHRASE_SLOTS,
    MAX_SLOTS,
    SALT_BYTES,
    BareHeader,
    SealedHeader,
    serialise,
)
from neuralcipher.container.plain import PlainWriter
from neuralcipher.container.stream import (
    StreamWriter,
    payload_aead,
)
from neuralcipher.errors import (
    LimitError,
    UsageError,
)
from neuralcipher.keys import (
    LABEL_COMMIT,
    LABEL_PAYLOAD,
    Argon2Parameters,
    BundleKey,
    Credential,
    Key,
    Passphrase,
    SegmentSeed,
    Slot,
    derive,
    seal_slot,
    segment_seed,
)


class BundleWriter:
    """Writes a bundle to a file that only needs `write`: sections as they come, then the directory.

    Made by `create_sealed`, `create_with_slots` or `create_bare`. Nothing is valid before `finish`.
    """

    def __init__(
        self, payload: StreamWriter | PlainWriter, root: BundleKey | Key, salt: bytes, header_bytes: int
    ) -> None:
        self._payload = payload
        self._header_bytes = header_bytes
        self._root = root
        self._salt = salt
        self._sections: list[Section] = []
        self._names: set[tuple[str, int]] = set()
        self._position = 0

    @classmethod
    def create_sealed(
        cls,
        file: BinaryIO,
        credentials: Sequence[Credential],
        *,
        aead: str = DEFAULT_AEAD,
        argon2: Argon2Parameters | None = None,
    ) -> BundleWriter:
        """Begin a sealed bundle under a new bundle key, with a slot for each credential.

        aead: one of AEAD_NAMES. argon2: the cost of the passphrases. Raises UsageError if there is no
        credential or one twice; LimitError if there are more than 32, or 8 passphrases.
        """
        check_credentials(credentials)
        bundle_key = BundleKey.generate()
        slots = [seal_slot(credential, bundle_key, argon2) for credential in credentials]
        return cls.create_with_slots(file, bundle_key, slots, aead=aead)

    @classmethod
    def create_with_slots(
        cls,
        file: BinaryIO,
        bundle_key: BundleKey,
        slots: Sequence[Slot],
        *,
        aead: str = DEFAULT_AEAD,
        salt: bytes | None = None,
    ) -> BundleWriter:
        """Begin a sealed bundle with slots that were made for this bundle key.

        salt: that of a bundle that was begun before, whose segment seeds are to stay; else a fresh one. The payload's
        own salt is always fresh, so that two files of one bundle key never share a keystream.
        """
        if aead not in AEAD_NAMES:
            raise UsageError(f"no AEAD is called {aead!r}", hint=f"there are: {', '.join(AEAD_NAMES)}")
        salt = os.urandom(SALT_BYTES) if salt is None else salt
        payload_salt = os.urandom(SALT_BYTES)
        commit = derive(bundle_key, salt, LABEL_COMMIT)
        header = serialise(SealedHeader(aead, salt, payload_salt, commit, tuple(slots)), bundle_key)
        file.write(header)
        cipher = payload_aead(aead, derive(bundle_key, payload_salt, LABEL_PAYLOAD))
        return cls(StreamWriter(file, cipher), bundle_key, salt, len(header))

    @classmethod
    def create_bare(cls, file: BinaryIO, key: Key, *, salt: bytes | None = None) -> BundleWriter:
        """Begin a bare bundle: everything in clear, and the key file itself the root of the start latents.

        salt: as for `create_with_slots`.
        """
        salt = os.urandom(SALT_BYTES) if salt is None else salt
        preamble = serialise(BareHeader(salt))
        file.write(preamble)
        return cls(PlainWriter(file, preamble), key, salt, len(preamble))

    def segment_seed(self, segment: int) -> SegmentSeed:
        """The seed of a segment's start latent."""
        return segment_seed(self._root, self._salt, segment)

    def add_section(self, kind: str, segment: int, data: bytes | memoryview, **attributes: Any) -> Section:
        """Append a section and return its entry. attributes: of canonical types; they come back as given.

        Raises UsageError if (kind, segment) is there already, LimitError above 1 GiB or 2**18 sections.
        """
        length = memoryview(data).nbytes
        section = Section(kind, segment, self._position, length, attributes)
        check_section(section)
        if (kind, segment) in self._names:
            raise UsageError(f"section {kind!r} of segment {segment} is there already")
        if len(self._sections) >= MAX_SECTIONS:
            raise LimitError(f"a bundle has at most {MAX_SECTIONS} sections", hint="use longer segments")
        self._payload.write(data)
        self._names.add((kind, segment))
        self._sections.append(section)
        self._position += length
        return section

    def finished_size(self, metadata: Mapping[str, Any], planned: Sequence[Section] = ()) -> int:
        """Bytes of the whole file if `planned` were added, wherever they say they lie, and `finish` called now."""
        sections, position = list(self._sections), self._position
        for section in planned:
            sections.append(replace(section, offset=position))
            position += section.length
        directory = pack_directory(metadata, sections)
        return self._header_bytes + self._payload.stored_size(position + len(directory) + TRAILER_BYTES)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Write the directory and the last chunk. metadata: of canonical types, together at most 64 MiB.

        Nothing may be added afterwards; publishing the file is the caller's.
        """
        directory = pack_directory(metadata, self._sections)
        self._payload.write(directory + pack_trailer(self._position, len(directory)))
        self._payload.close()


def check_credentials(credentials: Sequence[Credential]) -> None:
    """Raises UsageError if there is no credential or one twice, LimitError if there are more than slots."""
    if not credentials:
        raise UsageError("a sealed bundle needs a key file or a passphrase", hint="pass --key or --passphrase")
    passphrases = sum(isinstance(credential, Passphrase) for credential in credentials)
    if len(credentials) > MAX_SLOTS or passphrases > MAX_PASSPHRASE_SLOTS:
        raise LimitError(
            f"{len(credentials)} keys, {passphrases} of them passphrases, are more than a bundle takes",
            hint=f"at most {MAX_SLOTS}, and {MAX_PASSPHRASE_SLOTS} passphrases",
        )
    for index, credential in enumerate(credentials):
        if credential in credentials[:index]:
            raise UsageError("the same key or passphrase is given twice", hint="leave one of them out")
