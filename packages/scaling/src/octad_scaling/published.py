"""Published Chinchilla laws, as starts and as references."""

from __future__ import annotations

from octad_scaling.chinchilla import ChinchillaLaw

HOFFMANN_2022 = ChinchillaLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
"""Hoffmann et al. 2022, eq. 10 (rounded in print; its plans disagree with the paper's other two approaches)."""

BESIROGLU_2024 = ChinchillaLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
"""Besiroglu et al. 2024: the refit of 240 points of the same study; the least-absolute-deviation optimum."""

BESIROGLU_2024_HUBER = ChinchillaLaw(E=1.817218, A=477.826, B=2143.42, alpha=0.347311, beta=0.367172)
"""The Huber optimum (delta 1e-3) of the same 240 points, which the paper names but its code did not reach."""

MUENNIGHOFF_2023 = ChinchillaLaw(E=1.87, A=521.0, B=1488.0, alpha=0.353, beta=0.353)
"""Muennighoff et al. 2023 (arXiv 2305.16264), the base law of their data-constrained one (C4)."""
