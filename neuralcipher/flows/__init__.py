"""Flows F: networks that turn a keystream into the frames of a video."""
