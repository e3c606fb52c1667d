"""Video in and out: `metadata` (what a bundle remembers), `reading`, `writing`, `quality`."""
