"""Attacks on a generator alone."""
