"""Video in and out: `metadata` (what a bundle remembers), `reading`, `writing`, `quality`.

Reading asks a child process (`session` talks to `child`, which runs `source`, `survey` and `tracks` under `limits`).
"""
