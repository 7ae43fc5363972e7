"""Data that is seen more than once: the data-constrained law of Muennighoff et al. 2023."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octad_scaling.chinchilla import ChinchillaLaw
from octad_scaling.errors import ScalingError, require_positive

Array = NDArray[np.float64]

PUBLISHED_DATA_DECAY = 15.387756
PUBLISHED_PARAMETER_DECAY = 5.309743


@dataclass(frozen=True, slots=True)
class Repetition:
    """What a repeated token, and a parameter beyond what the data can feed, are worth.

    D' = U_D + U_D R_D* (1 - exp(-R_D / R_D*)) with R_D = D / U_D - 1 repetitions of U_D = min(D, unique tokens), and
    N' = U_N + U_N R_N* (1 - exp(-R_N / R_N*)) with R_N = N / U_N - 1, U_N = min(N, the N that U_D is optimal for).
    So D' <= U_D (1 + R_D*) however often the data is seen, and four epochs are worth 3.7.

    Args:
        data_decay: R_D*, > 0.
        parameter_decay: R_N*, > 0, or None: parameters count in full. The published law has 5.309743 beside its data
            decay; it discounts a model that is too large even for data seen once, so it is not the default.

    Raises:
        ScalingError: a decay is not a finite number > 0.
    Source: Muennighoff et al. 2023, eq. 5-8 and table of section 5 (arXiv 2305.16264).
    """

    data_decay: float = PUBLISHED_DATA_DECAY
    parameter_decay: float | None = None

    def __post_init__(self) -> None:
        require_positive("Repetition", data_decay=self.data_decay)
        if self.parameter_decay is not None:
            require_positive("Repetition", parameter_decay=self.parameter_decay)

    def effective_tokens(self, tokens: ArrayLike, unique_tokens: float) -> Array:
        """D', of the shape of `tokens`; D itself up to `unique_tokens`."""
        return _saturate(np.asarray(tokens, dtype=np.float64), unique_tokens, self.data_decay)

    def effective_parameters(self, law: ChinchillaLaw, parameters: ArrayLike, unique_tokens: float) -> Array:
        """N', of the shape of `parameters`: N itself up to the N that `unique_tokens` is optimal for."""
        values = np.asarray(parameters, dtype=np.float64)
        if self.parameter_decay is None:
            return values
        return _saturate(values, law.optimal_parameters(unique_tokens), self.parameter_decay)


def _saturate(values: Array, base: float, decay: float) -> Array:
    repeats = np.maximum(values / base - 1, 0)
    return np.where(values <= base, values, base - base * decay * np.expm1(-repeats / decay))


@dataclass(frozen=True, slots=True)
class DataConstrainedLaw:
    """L(N, D) = E + A N'^-alpha + B D'^-beta for a corpus of `unique_tokens`.

    Args:
        law: the law for fresh data.
        unique_tokens: the corpus, > 0; math.inf repeats nothing.
        repetition: what repeated tokens are worth.

    Raises:
        ScalingError: unique_tokens is not > 0.
    """

    law: ChinchillaLaw
    unique_tokens: float
    repetition: Repetition = Repetition()

    def __post_init__(self) -> None:
        if not self.unique_tokens > 0 or isinstance(self.unique_tokens, bool):
            raise ScalingError(f"unique_tokens={self.unique_tokens!r} must be > 0; math.inf repeats nothing")

    def predict(self, parameters: ArrayLike, tokens: ArrayLike) -> Array:
        """The loss, broadcast over N and D (both > 0)."""
        n, d = np.broadcast_arrays(np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64))
        if not (np.all(n > 0) and np.all(d > 0)):
            raise ScalingError("parameters and tokens must be > 0 to predict a loss")
        effective = d if math.isinf(self.unique_tokens) else self.repetition.effective_tokens(d, self.unique_tokens)
        if self.repetition.parameter_decay is None:
            return self.law.predict(n, effective)
        seen = np.minimum(d, self.unique_tokens)
        size = [
            float(self.repetition.effective_parameters(self.law, one, float(unique)))
            for one, unique in zip(n.flat, seen.flat, strict=True)
        ]
        return self.law.predict(np.array(size).reshape(n.shape), effective)
