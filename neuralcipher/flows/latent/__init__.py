"""The latent flow: keyed, entropy-coded transform latents and a small learned synthesis."""

from neuralcipher.flows.latent.flow import LatentConfig, LatentFlow

__all__ = ["LatentConfig", "LatentFlow"]
