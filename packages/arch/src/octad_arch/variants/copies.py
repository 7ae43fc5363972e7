"""The residual stream as more than one vector a token: n copies of the embedding in, one vector out (`Stream`)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..cost import Cost, dense
from ..errors import require, require_positive


@dataclass(frozen=True)
class Copies:
    """n copies of the embedding in, their mean out.

    The paper adds them up, which is the same before a norm; the mean makes it so with none, and for every eps.

    Args:
        copies: n, at least 2.
    Source: Zhu et al. 2024 (arXiv 2409.19606), section 2.1.
    """

    copies: int

    def __post_init__(self) -> None:
        require(self.copies >= 2, f"copies={self.copies}; one copy is the plain stream, give stream=None or 2 and more")

    def build(self, d_model: int) -> "CopiesModule":
        """The module, without parameters."""
        return CopiesModule(self.copies)

    def cost(self, d_model: int) -> Cost:
        """Nothing."""
        return Cost()


class CopiesModule(nn.Module):
    """`Copies`."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies

    def open(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq copies d_model"]:
        """The embedding n times."""
        return x[..., None, :].repeat(*[1] * (x.ndim - 1), self.copies, 1)

    def forward(self, x: Float[Tensor, "batch seq copies d_model"]) -> Float[Tensor, "batch seq d_model"]:
        """The mean."""
        return x.mean(-2)


@dataclass(frozen=True)
class GatedCopies:
    """n copies of the embedding in, Σ_i p_i x_i out, with p = sigmoid(s W x̂ + b) + eps of the flattened copies.

    x̂ is x / sqrt(mean(x²) + norm_eps) over all n * d_model numbers. At the start W = 0 and p_i = 1/n: the mean.

    Args:
        copies: n, at least 2.
        eps: added to each weight.
        norm_eps: of the norm, > 0.
    Source: DeepSeek-V4, as transformers builds it (`DeepseekV4HyperHead`).
    """

    copies: int
    eps: float = 1e-6
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        require(self.copies >= 2, f"copies={self.copies}; one copy is the plain stream, give stream=None or 2 and more")
        require_positive(norm_eps=self.norm_eps)

    def build(self, d_model: int) -> "GatedCopiesModule":
        """The module for a model of that width."""
        return GatedCopiesModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """One matrix from all copies to n numbers, n offsets and a scale."""
        kept = self.copies * (2 * d_model + 3) + 1
        return dense(self.copies**2 * d_model, self.copies + 1, kept)


class GatedCopiesModule(CopiesModule):
    """`GatedCopies` with its weights."""

    def __init__(self, spec: GatedCopies, d_model: int) -> None:
        super().__init__(spec.copies)
        self.spec = spec
        self.weight = nn.Parameter(torch.empty(spec.copies, spec.copies * d_model))
        self.base = nn.Parameter(torch.empty(spec.copies))
        self.scale = nn.Parameter(torch.empty(1))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The mean, whatever x."""
        self.weight.detach().zero_()
        self.base.detach().copy_(torch.logit(torch.tensor(1 / self.copies - self.spec.eps)))
        self.scale.detach().fill_(1.0)

    def forward(self, x: Float[Tensor, "batch seq copies d_model"]) -> Float[Tensor, "batch seq d_model"]:
        """The weighted sum; the weights are computed in float32 at least."""
        wide = torch.promote_types(x.dtype, torch.float32)
        flat = x.flatten(-2).to(wide)
        flat = F.rms_norm(flat, flat.shape[-1:], None, self.spec.norm_eps)
        mixes = F.linear(flat, self.weight.to(wide)) * self.scale.to(wide) + self.base.to(wide)
        weights = torch.sigmoid(mixes) + self.spec.eps
        return (weights[..., None] * x).sum(-2).to(x.dtype)
