"""Peaks of the discrete Fourier transform (section 2.6)."""

from __future__ import annotations

import math

import numpy as np
from scipy import fft

from neuralcipher.attacks.generators.sp800_22.common import Bits, Outcome, check_bits, normal_p

_SHARE = 0.95
_LIMIT = math.log(1 / (1 - _SHARE))  # a power of white noise, exponential of mean 1, is below it with chance 0.95


def count_variance(n: int) -> float:
    """Of the number of low powers among the n / 2 of a sequence of n random signs, for large n.

    The powers are not quite independent: as the energy is fixed, any two have covariance -2 / n. That takes
    n (.05 ln 20)**2 / 2 off the variance of a binomial count, and n (.95)(.05) / 3.79 remains.
    """
    return n / 2 * (_SHARE * (1 - _SHARE) - (_LIMIT * (1 - _SHARE)) ** 2)


def spectral(bits: Bits, *, published: bool = False, at_least: int = 1000) -> Outcome:
    """The number of low peaks in the spectrum, against 95 %: periodic features. bits: (n,).

    published: with the variance n (.95)(.05) / 4 of revision 1a, which rejects 1.21 % of ideal sequences at 1 %.
    Source: section 2.6; Pareschi, Rovatti & Setti (2012) and Okada & Umeno (2017) measured divisors of 3.8 and 3.79.
    """
    n = check_bits(bits, at_least, "spectral")
    power = np.abs(fft.rfft(2.0 * bits - 1)[: n // 2]) ** 2
    low = int(np.count_nonzero(power < n * _LIMIT))
    variance = n * _SHARE * (1 - _SHARE) / 4 if published else count_variance(n)
    return Outcome({"": normal_p((low - _SHARE * n / 2) / math.sqrt(variance))})
