"""neuralcipher: seal a video into small neural networks that only a key holder can play.

    key = neuralcipher.generate_key()
    neuralcipher.seal("video.mp4", "video.ncv", keys=[key])
    neuralcipher.open_bundle("video.ncv", "opened.mp4", keys=[key])

Everything is imported when it is first used, so that `import neuralcipher` is instant.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuralcipher.container import BundleReader as Bundle
    from neuralcipher.errors import NeuralCipherError
    from neuralcipher.keys import Key, Passphrase
    from neuralcipher.pipeline.extracting import extract_audio
    from neuralcipher.pipeline.opening import open_bundle
    from neuralcipher.pipeline.options import SealOptions
    from neuralcipher.pipeline.sealing import seal
    from neuralcipher.pipeline.splicing import cut, join

    __version__: str

_HOMES = {
    "Bundle": ("neuralcipher.container", "BundleReader"),
    "Key": ("neuralcipher.keys", "Key"),
    "NeuralCipherError": ("neuralcipher.errors", "NeuralCipherError"),
    "Passphrase": ("neuralcipher.keys", "Passphrase"),
    "SealOptions": ("neuralcipher.pipeline.options", "SealOptions"),
    "cut": ("neuralcipher.pipeline.splicing", "cut"),
    "extract_audio": ("neuralcipher.pipeline.extracting", "extract_audio"),
    "join": ("neuralcipher.pipeline.splicing", "join"),
    "open_bundle": ("neuralcipher.pipeline.opening", "open_bundle"),
    "seal": ("neuralcipher.pipeline.sealing", "seal"),
}

__all__ = [
    "Bundle",
    "Key",
    "NeuralCipherError",
    "Passphrase",
    "SealOptions",
    "cut",
    "demo_clip",
    "extract_audio",
    "generate_key",
    "join",
    "open_bundle",
    "seal",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("neuralcipher")
    if name not in _HOMES:
        raise AttributeError(f"module 'neuralcipher' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def generate_key() -> Key:
    """Draw a new key of 32 bytes from the operating system; `Key.write` stores it in a file."""
    from neuralcipher.keys import Key

    return Key.generate()


def demo_clip() -> Path:
    """A short real clip with sound that the package carries (Big Buck Bunny, CC BY 3.0)."""
    return Path(__file__).parent / "data" / "bunny.mp4"
