"""The seal oracle: the owner seals what the attacker chooses; does that show the owner's other video?"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Matrix, Pictures
from neuralcipher.attacks.pairs.reuse import (
    NO_HOLD,
    bundles_of,
    controls,
    first_bundle,
    forced,
    material,
    matrix_of,
    no_hold,
    of_owners,
    rehearsed,
    score,
)
from neuralcipher.attacks.pairs.seen import Clock, OutOfTime, picture, stopped
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import Subject

_SIDE = 32
_NOISE = {"noise": 48, "faint noise": 32}
"""Grey levels around the middle: a louder video says more of its keystream, if its latents still have one shape."""


def chosen_videos(like: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
    """Black, white, black with one white pixel in the middle, and two noises: (N, 3, H, W) uint8, like the video given.

    A flow that codes needs few bytes for the first three, so that they show little of the keystream: hence the noise.
    """
    black, white = torch.zeros_like(like), torch.full_like(like, 255)
    pixel = black.clone()
    pixel[:, :, like.shape[2] // 2, like.shape[3] // 2] = 255
    noises = {
        name: torch.randint(128 - level, 128 + level, like.shape, generator=draw, dtype=torch.uint8)
        for name, level in _NOISE.items()
    }
    return {"black": black, "white": white, "one pixel": pixel, **noises}


@register("chosen-plaintext")
class ChosenPlaintext:
    """Some chosen videos, sealed by the owner of the target with fresh salts, give as many keystreams to try."""

    info: ClassVar[Info] = Info(
        number=22,
        name="chosen-plaintext",
        title="chosen plaintext: black, white, one-pixel video",
        properties=(2, 3),
        threat_models=(ThreatModel.CHOSEN_PLAINTEXT,),
        needs=Needs.PAIR,
        statistic="gain in correlation with the truth of the frames that an equivalent keystream shows, learned from "
        "the owner's bundles of the chosen videos: the one that covers most of the target's masks, then the smoothest",
        null="the oracle of the same owner helps no more than that of another: exact over all matchings of owners",
        rule="broken if the same owner's oracle helps more; each bundle has its own salt, as the product gives it",
        positive="ideal F whose start latent forgets the salt",
        negative="ideal F: frames masked by ChaCha20 of the hash of each latent",
        failure="who can have a video of his own sealed can read the owner's others",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """See `Attack.controls`."""
        return controls(subject, run)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """See `Attack.measure`."""
        owners, frames, side = run.pick(quick=8, full=9), run.pick(quick=2, full=4), _SIDE
        target, video = material(subject, frames, side)
        chosen = chosen_videos(video, run.torch_draw("noise"))
        effort = (
            f"{owners} owners, {len(chosen)} chosen videos, {len(video)} frame(s) cut to "
            f"{video.shape[2]}x{video.shape[3]}"
        )
        clock = Clock(run, (1 + len(chosen)) * (owners - 1) + owners**2)
        secret = first_bundle(target, video, run, "secret video")
        first = {name: first_bundle(target, one, run, name) for name, one in chosen.items()}
        rehearsals = [rehearsed(one, run, name) for name, one in first.items()]
        exploited = forced(secret, list(first.values()), rehearsals, secret.key)
        truth = secret.frames.numpy()
        forced_score = score(exploited, truth)
        if forced_score <= NO_HOLD:
            return no_hold(forced_score, effort)
        try:
            secrets = bundles_of(secret, run, "secret video", owners, clock)
            sealed = [bundles_of(one, run, name, owners, clock) for name, one in first.items()]
            matrix, guess = matrix_of(secrets, sealed, rehearsals, clock)
        except OutOfTime:
            return stopped("r", effort)
        row = [("truth", picture(truth[0]))]
        for name, shown in (("recovered", guess), ("recovered, equal salt", exploited)):
            if shown is not None:
                row.append((name, picture(shown[0])))
        return of_owners(
            matrix,
            run,
            effort=effort,
            note=lambda same, apart: (
                f"With the owner's own oracle the guess correlates with the secret video at {same:.3f}, with another "
                f"owner's at {apart:.3f}. With a forced equal salt: {forced_score:.3f}."
            ),
            details={"forced_equal_salt": {"correlation": forced_score}, "chosen": list(chosen)},
            figures=(
                Matrix("What an owner's oracle shows of a video", "oracle of", "secret bundle of", matrix, 0, 1),
                Pictures("The secret video by an equivalent keystream", [row]),
            ),
        )
