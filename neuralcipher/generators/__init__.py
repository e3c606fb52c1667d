"""Generators g: public noise processes that turn a secret start latent into a keystream."""
