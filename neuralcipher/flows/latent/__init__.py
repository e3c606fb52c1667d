"""The latent flow: keyed, entropy-coded motion and residual latents, and a learned repair."""

from neuralcipher.flows.latent.flow import LatentConfig, LatentFlow

__all__ = ["LatentConfig", "LatentFlow"]
