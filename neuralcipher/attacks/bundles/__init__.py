"""Attacks on a bundle file."""
