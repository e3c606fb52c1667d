"""Inversion by gradients: from <g, F> and some frames, or none, to a latent that shows the others."""
