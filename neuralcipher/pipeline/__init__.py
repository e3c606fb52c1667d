"""Seal and open: the one place where keys, generator, flow, container and video meet."""
