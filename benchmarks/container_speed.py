"""What does the container cost beside the bare AEAD call on the same bytes?

    python benchmarks/container_speed.py [--mib 64] [--runs 5]

Writes and reads one section of random bytes; the peers are one call of the primitive on the whole, and calls on
64 KiB pieces. Medians, all in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.keys import Key

PIECE = 65_536


def speed(size: int, runs: int, action: Callable[[], object]) -> float:
    """Median MB/s of an action over `size` bytes."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return size / statistics.median(times) / 1e6


def measure(name: str, primitive: type, mib: int, runs: int) -> dict[str, object]:
    """One AEAD."""
    data = os.urandom(mib << 20)
    aead = primitive(os.urandom(32))
    key = Key.generate()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "b.ncv")

        def write() -> None:
            with path.open("wb") as file:
                writer = BundleWriter.create_sealed(file, [key], aead=name)
                writer.add_section("flow", 0, data)
                writer.finish({})

        def read() -> None:
            with BundleReader.open(path) as reader:
                reader.unlock([key])
                reader.read_section(reader.sections[0])

        whole = speed(len(data), runs, lambda: aead.encrypt(bytes(12), data, None))
        pieces = speed(
            len(data),
            runs,
            lambda: [aead.encrypt(bytes(12), data[i : i + PIECE], None) for i in range(0, len(data), PIECE)],
        )
        written, red = speed(len(data), runs, write), speed(len(data), runs, read)
    return {
        "aead": name,
        "one_call_mb_s": round(whole),
        "pieces_mb_s": round(pieces),
        "write_mb_s": round(written),
        "read_mb_s": round(red),
        "worst_to_one_call": round(min(written, red) / whole, 2),
        "worst_to_pieces": round(min(written, red) / pieces, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    peers = (("chacha20-poly1305", ChaCha20Poly1305), ("aes-256-gcm", AESGCM))
    print(json.dumps([measure(name, primitive, options.mib, options.runs) for name, primitive in peers], indent=2))


if __name__ == "__main__":
    main()
