"""The latent flow: keyed, entropy-coded motion and residual latents, and a learned repair."""

from neuralcipher.flows.latent.config import LatentConfig
from neuralcipher.flows.latent.flow import LatentFlow

__all__ = ["LatentConfig", "LatentFlow"]
