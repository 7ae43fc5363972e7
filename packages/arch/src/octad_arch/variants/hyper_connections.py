"""Hyper-connections: n copies of the stream, what a block reads of them, and how they mix around it.

With H the copies as rows (n, d_model), each token's own:

    H' = R H + β block(norm(a H))ᵀ

a (1, n) is read, R (n, n) is the residual map, β (n) is written. Shapes: B batch, S seq, N copies, D d_model.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..cost import Cost, dense
from ..errors import ArchError, require, require_positive
from ..norm import Norm


@dataclass(frozen=True)
class HyperConnections:
    """H' = A_rᵀ H + B block(norm(A_mᵀ H))ᵀ: a placement on the stream `Copies(n)`.

    Static: the maps are parameters. Dynamic: A_m + s_a tanh(norm'(H) W_m), A_r + s_a tanh(norm'(H) W_r) and
    B + s_b tanh(norm'(H) W_b). At the start A_r = I, B = 1, A_m is one copy and W = 0, so that all copies stay equal
    and the model is the pre-norm one.

    Args:
        copies: n, at least 2.
        is_dynamic: the maps depend on the token.
    Source: Zhu et al. 2024 (arXiv 2409.19606), eq. 1-14.
    """

    copies: int
    is_dynamic: bool = True

    def __post_init__(self) -> None:
        require(self.copies >= 2, f"copies={self.copies} of the stream; 1 is PreNorm(), give 2 or more")

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> "Hyper":
        """The block between its maps; copy `depth` modulo n is the one it reads first."""
        maps = HyperMaps(self, norm.build(d_model) if self.is_dynamic else None, d_model, depth)
        return Hyper(block, norm.build(d_model), maps, self.copies)

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """The norm in front of the block, n(n + 2) numbers, and the maps of what is dynamic."""
        n = self.copies
        total = norm.cost(d_model) + dense(0, n * (n + 2)) + _mixing(n, d_model)
        if self.is_dynamic:  # each copy is multiplied by the same n + 2 columns
            own, flops = norm.cost(d_model), 2 * (n - 1) * (n + 2) * d_model
            kept = (n - 1) * own.activation_elements + n * (2 * n + 4)
            total += own + dense((n + 2) * d_model, 2, kept) + Cost(matmul_flops=flops)
        return total


@dataclass(frozen=True)
class ManifoldHyperConnections:
    """H' = R H + β block(norm(a H))ᵀ with R doubly stochastic: a placement that cannot blow the stream up.

    With ĥ = h / sqrt(mean(h²) + norm_eps) of all copies in one vector h, and ã = s_a ĥ W_a + b_a, β̃ and R̃ likewise:
    a = sigmoid(ã) + eps, β = 2 sigmoid(β̃), R = sinkhorn(R̃). At the start W = 0, Σ a = 1 and β = 1, so that all copies
    stay equal and the model is the pre-norm one.

    Args:
        copies: n, at least 2.
        iterations: of Sinkhorn and Knopp.
        eps: keeps divisors from 0 (1e-6 in DeepSeek-V4, 0 in the paper).
        norm_eps: of the norm of all copies, > 0.
    Source: Xie et al. 2025 (arXiv 2512.24880), eq. 7-9.
    """

    copies: int
    iterations: int = 20
    eps: float = 1e-6
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        require(self.copies >= 2, f"copies={self.copies} of the stream; 1 is PreNorm(), give 2 or more")
        require_positive(iterations=self.iterations, norm_eps=self.norm_eps)

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> "Hyper":
        """The block between its maps; copy `depth` modulo n is the one it mostly reads first."""
        return Hyper(block, norm.build(d_model), ManifoldMaps(self, d_model, depth), self.copies)

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """The norm in front of the block, one matrix from all copies to n(n + 2) numbers, as many offsets, 3 scales."""
        n = self.copies
        kept = n * d_model + 1 + n * (n + 2) + 3 * n + n * n + n * (n + 1) + (2 * self.iterations - 1) * n * (n + 1)
        return norm.cost(d_model) + dense(n * (n + 2) * n * d_model, n * (n + 2) + 3, kept) + _mixing(n, d_model)


def _mixing(copies: int, d_model: int) -> Cost:
    """The product (1 + n, n) with (n, d_model) of each token; kept are the copies, what was mixed and the branch."""
    kept = (2 * copies + 1) * d_model  # beside what the norm reads, a part of what was mixed
    return Cost(matmul_flops=2 * (1 + copies) * copies * d_model, activation_elements=kept)


class Hyper(nn.Module):
    """The block between its maps; `maps` gives (a over R) as (B, S, 1 + N, N), and β as (B, S, N), or without B, S."""

    def __init__(self, block: nn.Module, input: nn.Module, maps: nn.Module, copies: int) -> None:
        super().__init__()
        self.block, self.input_norm, self.maps, self.copies = block, input, maps, copies

    def forward(
        self, x_BSND: Float[Tensor, "batch seq copies d_model"], *inputs: object
    ) -> Float[Tensor, "batch seq copies d_model"]:
        """Read, work, write; further inputs are handed to the block."""
        if x_BSND.ndim != 4 or x_BSND.shape[2] != self.copies:
            raise ArchError(
                f"a stream of shape {tuple(x_BSND.shape)} for {self.copies} copies; give (batch, seq, copies, d_model)"
            )
        mixing, written = self.maps(x_BSND)
        mixed = mixing @ x_BSND
        y_BSD = self.block(self.input_norm(mixed[:, :, 0]), *inputs)
        output: Tensor = mixed[:, :, 1:] + written[..., None] * y_BSD[:, :, None]
        return output


class HyperMaps(nn.Module):
    """The maps of `HyperConnections`; `static` is A = (A_m, A_r) transposed."""

    def __init__(self, spec: HyperConnections, norm: nn.Module | None, d_model: int, depth: int) -> None:
        super().__init__()
        self.copies, self.depth, self.norm = spec.copies, depth, norm
        self.static = nn.Parameter(torch.empty(spec.copies + 1, spec.copies))
        self.written = nn.Parameter(torch.empty(spec.copies))
        self.weight = nn.Parameter(torch.empty(spec.copies + 2, d_model)) if spec.is_dynamic else None
        self.scales = nn.Parameter(torch.empty(2)) if spec.is_dynamic else None

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The pre-norm model; the scales of what is dynamic start at 0.01."""
        eye = torch.eye(self.copies)
        self.static.detach().copy_(torch.cat((eye[self.depth % self.copies, None], eye)))
        self.written.detach().fill_(1.0)
        if self.weight is not None and self.scales is not None:
            self.weight.detach().zero_()
            self.scales.detach().fill_(0.01)

    def forward(self, x_BSND: Tensor) -> tuple[Tensor, Tensor]:
        """(a over R) and β."""
        if self.weight is None or self.scales is None or self.norm is None:
            return self.static, self.written
        tilted = torch.tanh(F.linear(self.norm(x_BSND), self.weight))  # of each copy its row of A and its part of B
        mixing = self.static + self.scales[0] * tilted[..., :-1].transpose(-1, -2)
        return mixing, self.written + self.scales[1] * tilted[..., -1]


_SHARE = 0.9  # of what a block reads at the start, in one copy; of a copy, in what it becomes


class ManifoldMaps(nn.Module):
    """The maps of `ManifoldHyperConnections`; the columns of R̃ are stored one after another, as DeepSeek-V4 does."""

    def __init__(self, spec: ManifoldHyperConnections, d_model: int, depth: int) -> None:
        super().__init__()
        self.spec, self.depth = spec, depth
        n = spec.copies
        self.weight = nn.Parameter(torch.empty(n * (n + 2), n * d_model))
        self.base = nn.Parameter(torch.empty(n * (n + 2)))
        self.scale = nn.Parameter(torch.empty(3))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The pre-norm model, with copies that differ in how they are read, else they would learn the same."""
        n = self.spec.copies
        eye = torch.eye(n)
        shares = _SHARE * eye + (1 - _SHARE) / (n - 1) * (1 - eye)
        read = torch.logit(shares[self.depth % n] - self.spec.eps)
        self.weight.detach().zero_()
        self.base.detach().copy_(torch.cat((read, torch.zeros(n), shares.log().flatten())))
        self.scale.detach().fill_(0.01)

    def forward(self, x_BSND: Tensor) -> tuple[Tensor, Tensor]:
        """(a over R) and β, computed in float32 at least."""
        n, wide = self.spec.copies, torch.promote_types(x_BSND.dtype, torch.float32)
        flat = x_BSND.flatten(-2).to(wide)
        flat = F.rms_norm(flat, flat.shape[-1:], None, self.spec.norm_eps)
        parts = torch.split(F.linear(flat, self.weight.to(wide)), [n, n, n * n], -1)
        scales, bases = self.scale.to(wide).unbind(), torch.split(self.base.to(wide), [n, n, n * n])
        read, written, residual = (p * s + b for p, s, b in zip(parts, scales, bases, strict=True))
        read = torch.sigmoid(read) + self.spec.eps
        residual = sinkhorn(
            residual.view(*residual.shape[:-1], n, n).transpose(-1, -2), self.spec.iterations, self.spec.eps
        )
        mixing = torch.cat((read[..., None, :], residual), -2)
        return mixing.to(x_BSND.dtype), 2 * torch.sigmoid(written).to(x_BSND.dtype)


def sinkhorn(logits: Float[Tensor, "... n n"], iterations: int = 20, eps: float = 0.0) -> Float[Tensor, "... n n"]:
    """exp(logits), its columns and then its rows divided by their sums, again and again: nearly doubly stochastic.

    Rows add up to 1 by the last division; columns in the limit, geometrically.

    Args:
        logits: of the entries; the first division is a softmax, so that none overflows.
        iterations: divisions of the columns and of the rows, > 0.
        eps: added to the first quotients and to every divisor after them.
    Source: Sinkhorn and Knopp 1967; eq. 9 of arXiv 2512.24880.
    """
    require_positive(iterations=iterations)
    m = logits.softmax(-2).clamp(min=torch.finfo(logits.dtype).tiny) + eps  # a row of zeros would divide by its sum
    m = m / (m.sum(-1, keepdim=True) + eps)
    for _ in range(iterations - 1):
        m = m / (m.sum(-2, keepdim=True) + eps)
        m = m / (m.sum(-1, keepdim=True) + eps)
    return m
