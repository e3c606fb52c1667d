"""Attacks on the pair <g, F> of one video."""
