"""One key, two bundles: does the known video of one show the other?"""

from __future__ import annotations

from typing import ClassVar

from neuralcipher.attacks.base import Info, Measurement, Needs, NotApplicable, ThreatModel, register
from neuralcipher.attacks.figures import Matrix, Pictures
from neuralcipher.attacks.pairs.reuse import (
    NO_HOLD,
    Rehearsal,
    bundles_of,
    controls,
    corners,
    equal_bytes,
    first_bundle,
    forced,
    material,
    matrix_of,
    moved,
    no_hold,
    of_owners,
    rehearsed,
    score,
)
from neuralcipher.attacks.pairs.seen import Clock, OutOfTime, Video, picture, stopped
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject

_SIDE = 32


@register("reused-key")
class ReusedKey:
    """Owners seal two videos each; the attacker knows one of them and tries to read the other."""

    info: ClassVar[Info] = Info(
        number=12,
        name="reused-key",
        title="one key for two videos",
        properties=(2,),
        threat_models=(ThreatModel.REUSED_KEY,),
        needs=Needs.PAIR,
        statistic="gain in correlation with the truth of the frames that a keystream shows, learned from a bundle "
        "whose video is known",
        null="another bundle of the same owner helps no more than one of another owner: exact over all matchings of "
        "owners",
        rule="broken if bundles of the same owner help more; each bundle has its own salt, as the product gives it",
        positive="ideal F whose start latent forgets the salt",
        negative="ideal F: frames masked by ChaCha20 of the hash of each latent",
        failure="who knows one video of an owner can read the others",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """See `Attack.controls`."""
        return controls(subject, run)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """See `Attack.measure`."""
        owners, frames, side = run.pick(quick=8, full=9), run.pick(quick=2, full=4), _SIDE
        target, video = material(subject, frames, side)
        if not target.others:
            raise NotApplicable("there is no second video to seal with the same key")
        other = corners(target.others, frames, side)[-1]
        effort = f"{owners} owners of two bundles, {len(video)} frame(s) cut to {video.shape[2]}x{video.shape[3]}"
        clock = Clock(run, 2 * (owners - 1) + owners**2)
        secret = first_bundle(target, video, run, "secret video")
        known = first_bundle(target, other, run, "known video")
        rehearsal = rehearsed(known, run, "known video")
        same_salt = moved(known, secret.key)
        exploited = forced(secret, [known], [rehearsal], secret.key)  # the fault that a salt prevents
        forced_score = score(exploited, secret.frames.numpy())
        if forced_score <= NO_HOLD:
            return no_hold(forced_score, effort)
        try:
            secrets = bundles_of(secret, run, "secret video", owners, clock)
            matrix, guess = matrix_of(
                secrets, [bundles_of(known, run, "known video", owners, clock)], [rehearsal], clock
            )
        except OutOfTime:
            return stopped("r", effort)
        return of_owners(
            matrix,
            run,
            effort=effort,
            note=lambda same, apart: (
                f"What the known bundle of the same owner shows correlates with the secret video at {same:.3f}, that "
                f"of another owner at {apart:.3f}. With a forced equal salt: {forced_score:.3f}."
            ),
            details={
                "equal_bytes_of_sections": equal_bytes(secret.section, known.section),
                "forced_equal_salt": {
                    "correlation": forced_score,
                    "equal_bytes_of_sections": equal_bytes(secret.section, same_salt.section),
                },
            },
            figures=(
                Matrix(
                    "What one owner's bundle shows of another's video",
                    "known bundle of",
                    "secret bundle of",
                    matrix,
                    0,
                    1,
                ),
                _pictures(secret, guess, exploited, rehearsal),
            ),
        )


def _pictures(secret: PairSubject, guess: Video | None, exploited: Video | None, rehearsal: Rehearsal) -> Pictures:
    rows = [("truth", picture(secret.frames[0]))]
    for name, frames in (("recovered", guess), ("recovered, equal salt", exploited)):
        if frames is not None:
            rows.append((name, picture(frames[0])))
    if rehearsal.public.latent_shape == secret.latent_shape:
        rows.append(("an imposter", picture(secret.show(rehearsal.z0, 0, 1)[0])))
    return Pictures("The secret video by a keystream learned from a known one", [rows])
