"""Reading bundles: the header without a key, then any section in any order."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from neuralcipher.container import shown
from neuralcipher.container.directory import (
    TRAILER_BYTES,
    Section,
    parse_directory,
    parse_trailer,
)
from neuralcipher.container.format import (
    VERSION,
    BareHeader,
    SealedHeader,
    Source,
    header_mac,
    parse,
)
from neuralcipher.container.plain import PlainReader
from neuralcipher.container.stream import (
    CHUNK_BYTES,
    SEALED_CHUNK_BYTES,
    StreamReader,
    payload_aead,
)
from neuralcipher.errors import (
    COPY_HINT,
    BundleError,
    HeaderDamagedError,
    NotABundleError,
    UsageError,
    WrongKeyError,
)
from neuralcipher.files import check_input
from neuralcipher.keys import (
    LABEL_COMMIT,
    LABEL_PAYLOAD,
    BundleKey,
    Credential,
    Key,
    Passphrase,
    PassphraseSlot,
    SegmentSeed,
    Slot,
    derive,
    open_slot,
    segment_seed,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `BundleReader.verify` found.

    message: one sentence. chunk: its number from 0, or None if it is not about one. offset: in the file.
    sections: the (kind, segment) pairs that it hits, as far as the directory can be read.
    """

    message: str
    chunk: int | None = None
    offset: int = 0
    sections: tuple[tuple[str, int], ...] = ()


class BundleReader:
    """Reads a bundle: `open` needs no key, `unlock` makes the rest readable. For one thread at a time.

    A context manager. Made by `open`.
    """

    def __init__(self, source: Source, path: Path) -> None:
        self.path = path
        self._source = source
        self._preamble = parse(source)
        self._root: BundleKey | Key | None = None
        self._payload: StreamReader | PlainReader | None = None
        self._directory: tuple[dict[str, Any], tuple[Section, ...]] | None = None
        self._index: dict[tuple[str, int], Section] = {}
        if isinstance(self.header, BareHeader):
            self._payload = PlainReader(source, self._preamble.payload_offset)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> BundleReader:
        """Open a bundle and parse its public header.

        Raises UsageError if there is no such file, NotABundleError, UnsupportedError, LimitError,
        TruncatedError or HeaderDamagedError.
        """
        path = Path(path)
        check_input(path, "bundle", empty=NotABundleError)
        file = path.open("rb", buffering=0)
        try:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise UsageError(f"{path} is not a regular file", hint="copy the bundle to a file first")
            return cls(Source(file, info.st_size, path.name), path)
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._source.file.close()

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return shown.line(self)

    def _repr_html_(self) -> str:
        """For notebooks: what `ncipher info` says; never a key."""
        return shown.table(self)

    @property
    def is_readable(self) -> bool:
        """Whether sections can be read: the bundle is unlocked, or bare."""
        return self._payload is not None

    @property
    def name(self) -> str:
        """The file's name without its folder, as messages show it."""
        return self._source.name

    @property
    def version(self) -> int:
        """The format's version."""
        return VERSION

    @property
    def suite(self) -> str:
        """ "sealed" or "bare"."""
        return self._preamble.suite

    @property
    def header(self) -> SealedHeader | BareHeader:
        """The public header."""
        return self._preamble.header

    @property
    def aead(self) -> str:
        """The AEAD's name; "" for a bare bundle."""
        return self.header.aead if isinstance(self.header, SealedHeader) else ""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The key slots, in order; none in a bare bundle."""
        return self.header.slots if isinstance(self.header, SealedHeader) else ()

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self._source.size

    @property
    def payload_offset(self) -> int:
        """Where the payload begins in the file, bytes."""
        return self._preamble.payload_offset

    @property
    def source(self) -> Source:
        """The file, for copying the payload as it is."""
        return self._source

    @property
    def bundle_key(self) -> BundleKey:
        """The secret that the slots wrap. Raises UsageError if the bundle is bare or not unlocked."""
        if isinstance(self._root, BundleKey):
            return self._root
        raise UsageError(f"{self.name} is {'bare' if self.suite == 'bare' else 'locked'} and shows no bundle key")

    def unlock(self, credentials: Sequence[Credential]) -> None:
        """Find a slot that opens, then check the commitment and the header's MAC; not the payload.

        Key files are tried first, as passphrases are slow by design. A bare bundle takes one key file, and no
        check can tell whether it is the right one; without one, all but the start latents can be read.
        Raises WrongKeyError, HeaderDamagedError, or UsageError on credentials of no use here.
        """
        header = self.header
        if isinstance(header, BareHeader):
            if len(credentials) > 1 or any(not isinstance(credential, Key) for credential in credentials):
                raise UsageError(f"{self.name} is bare and takes one key file", hint="pass --key once")
            self._root = next((credential for credential in credentials if isinstance(credential, Key)), None)
            return
        bundle_key = self._open_slots(header, credentials)
        mac = header_mac(self._preamble.covered, header, bundle_key)
        if not hmac.compare_digest(mac, self._preamble.check):
            raise HeaderDamagedError(f"the header of {self.name} is damaged or forged", hint=COPY_HINT)
        cipher = payload_aead(header.aead, derive(bundle_key, header.payload_salt, LABEL_PAYLOAD))
        size = self._source.size - self.payload_offset
        self._payload = StreamReader(self._source, self.payload_offset, size, cipher)
        self._root = bundle_key

    def _open_slots(self, header: SealedHeader, credentials: Sequence[Credential]) -> BundleKey:
        if not credentials:
            raise UsageError(f"{self.name} is locked", hint="pass --key or --passphrase")
        opened = False
        for credential in sorted(credentials, key=lambda credential: isinstance(credential, Passphrase)):
            for slot in header.slots:
                bundle_key = open_slot(slot, credential)
                if bundle_key is None:
                    continue
                opened = True
                commit = derive(bundle_key, header.salt, LABEL_COMMIT)
                if hmac.compare_digest(commit, header.commit):
                    return bundle_key
        if opened:
            raise HeaderDamagedError(f"the header of {self.name} is damaged or forged", hint=COPY_HINT)
        raise self._wrong_key(credentials)

    def _wrong_key(self, credentials: Sequence[Credential]) -> WrongKeyError:
        count = sum(isinstance(slot, PassphraseSlot) for slot in self.slots)
        if all(isinstance(credential, Passphrase) for credential in credentials):
            if not count:
                return WrongKeyError(f"no key slot of {self.name} takes a passphrase", hint="pass --key")
            return WrongKeyError(
                f"no key slot of {self.name} opens with this passphrase",
                hint="type it again, or pass --key; a damaged slot looks the same",
            )
        other = ", or pass --passphrase" if count else ""
        return WrongKeyError(
            f"no key slot of {self.name} opens with this key",
            hint=f"check that it is the key file that sealed it{other}; a damaged slot looks the same",
        )

    def segment_seed(self, segment: int) -> SegmentSeed:
        """The seed of a segment's start latent. Raises UsageError if no key was given."""
        if self._root is None:
            raise UsageError(f"{self.name} is locked", hint="pass --key or --passphrase")
        return segment_seed(self._root, self.header.salt, segment)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Every section, in the order of the file.

        The first use reads the end of the payload. Raises UsageError if the bundle is locked, TruncatedError,
        PayloadDamagedError, LimitError or UnsupportedError.
        """
        return self._read_directory()[1]

    @property
    def metadata(self) -> dict[str, Any]:
        """What `finish` was given. Raises as `sections` does."""
        return self._read_directory()[0]

    def section(self, kind: str, segment: int = 0) -> Section | None:
        """The section of that kind and segment, or None."""
        self._read_directory()
        return self._index.get((kind, segment))

    def read_section(self, section: Section, start: int = 0, length: int | None = None) -> bytes:
        """Return a section, or `length` bytes of it from `start` on; decrypts only the chunks it needs.

        Raises PayloadDamagedError; UsageError if the range is not inside the section.
        """
        length = section.length - start if length is None else length
        if start < 0 or length < 0 or start + length > section.length:
            raise UsageError(f"bytes {start}..{start + length} are not inside a section of {section.length}")
        return self._open_payload().read(section.offset + start, length)

    def _open_payload(self) -> StreamReader | PlainReader:
        if self._payload is None:
            raise UsageError(f"{self.name} is locked", hint="pass --key or --passphrase")
        return self._payload

    def _read_directory(self) -> tuple[dict[str, Any], tuple[Section, ...]]:
        if self._directory is None:
            payload = self._open_payload()
            payload.check_end()
            at = max(0, payload.length - TRAILER_BYTES)
            trailer = payload.read(at, min(TRAILER_BYTES, payload.length))
            offset, length = parse_trailer(trailer, payload.length, self.name)
            self._directory = parse_directory(payload.read(offset, length), offset, self.name)
            self._index = {(section.kind, section.segment): section for section in self._directory[1]}
        return self._directory

    def verify(self) -> list[Problem]:
        """Check every chunk and the directory, without stopping at the first problem.

        Raises UsageError if the bundle is locked.
        """
        payload = self._open_payload()
        sections: tuple[Section, ...] = ()
        directory: BundleError | None = None
        try:
            sections = self.sections
        except BundleError as error:
            directory = error
        problems = []
        for index, message in payload.damaged_chunks() if isinstance(payload, StreamReader) else ():
            start, end = index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES
            hit = (s for s in sections if s.offset < end and s.offset + s.length > start)
            at = self.payload_offset + index * SEALED_CHUNK_BYTES
            problems.append(Problem(message, index, at, tuple((s.kind, s.segment) for s in hit)))
        if directory is not None and directory.message not in {problem.message for problem in problems}:
            problems.append(Problem(directory.message, None, self.payload_offset))
        return problems

    @property
    def chunk_count(self) -> int:
        """How many chunks the payload has; 0 for a bare bundle, which has none."""
        payload = self._open_payload()
        return payload.chunk_count if isinstance(payload, StreamReader) else 0
