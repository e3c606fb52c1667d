"""As many ones as zeros, in all and in each block (sections 2.1 and 2.2)."""

from __future__ import annotations

import math

from neuralcipher.attacks.generators.sp800_22.common import Bits, Outcome, blocks, check_bits, chi_square_p, normal_p


def frequency(bits: Bits, *, at_least: int = 100) -> Outcome:
    """Ones against zeros in the whole sequence. bits: (n,). at_least: fewest bits to accept. Source: section 2.1."""
    n = check_bits(bits, at_least, "frequency")
    return Outcome({"": normal_p((2 * int(bits.sum()) - n) / math.sqrt(n))})


def block_frequency(bits: Bits, M: int = 128, *, at_least: int = 100) -> Outcome:
    """Ones against zeros in each block of M bits, as one chi-square over all blocks. bits: (n,).

    Appendix B takes M = 128 for a million bits, beyond the N < 100 blocks that section 2.2.7 recommends; so do we,
    as everybody does. Source: section 2.2.
    """
    check_bits(bits, max(at_least, M), "block frequency")
    shares = blocks(bits, M).mean(axis=1)
    return Outcome({"": chi_square_p(4 * M * float(((shares - 0.5) ** 2).sum()), len(shares))})
