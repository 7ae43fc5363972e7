"""Mixture of experts: each token is worked on by the few of many feed-forward blocks that a router picks for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..activation import (
    Activation,
    Gating,
    LearnedActivation,
    activation_of,
    gated_numbers,
    kept_numbers,
    learned_numbers,
    sigmoid,
    silu,
)
from ..cost import Cost, dense
from ..errors import ArchError, require, require_positive
from ..feed_forward import SwiGLU


class Choice(NamedTuple):
    """What a router decides for N tokens: k experts each, their weights, and the probabilities it had for all E."""

    experts: Int[Tensor, "tokens k"]
    weights: Float[Tensor, "tokens k"]
    probabilities: Float[Tensor, "tokens experts"]


class Router(Protocol):
    """A value that turns the logits of all experts into a choice of `top_k`."""

    @property
    def top_k(self) -> int:
        """Experts a token."""
        ...

    @property
    def is_balanced_by_bias(self) -> bool:
        """Whether the choice looks at a bias that `update_router_biases` moves."""
        ...

    def choose(self, logits: Float[Tensor, "tokens experts"], bias: Float[Tensor, "experts"] | None) -> Choice:
        """The choice for each token."""
        ...

    def kept(self, num_experts: int) -> int:
        """Numbers a token that the backward pass of the choice needs, logits and weights left out."""
        ...


def _within_best_groups(ranked: Tensor, groups: int, kept: int, judges: int) -> Tensor:
    """-inf for the experts outside the `kept` best groups, a group being as good as the sum of its best `judges`."""
    if kept == groups:
        return ranked
    grouped = ranked.view(*ranked.shape[:-1], groups, ranked.shape[-1] // groups)
    best = grouped.topk(min(judges, grouped.shape[-1]), -1).values.sum(-1).topk(kept, -1).indices
    is_kept = torch.zeros_like(grouped[..., 0], dtype=torch.bool).scatter(-1, best, True)
    return grouped.masked_fill(~is_kept[..., None], -torch.inf).flatten(-2)


@dataclass(frozen=True)
class SoftmaxRouter:
    """p = softmax(logits); the k largest, with weights scale * p or scale * p / Σp of those (Mixtral, OLMoE).

    With groups only experts of the best `kept_groups` groups are looked at, a group being as good as its best.

    Args:
        top_k: experts a token.
        renormalise: weights add up to 1, which equals a softmax over the chosen logits alone (gpt-oss).
        scale: factor of the weights.
        groups: equal parts of the experts (DeepSeek-V2, arXiv 2405.04434, section 2.2.2).
        kept_groups: how many of them are looked at.
    Source: Shazeer et al. 2017 (arXiv 1701.06538), Mixtral (arXiv 2401.04088).
    """

    top_k: int
    renormalise: bool = True
    scale: float = 1.0
    groups: int = 1
    kept_groups: int = 1
    is_balanced_by_bias: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        require_positive(top_k=self.top_k, scale=self.scale, groups=self.groups, kept_groups=self.kept_groups)
        require(self.kept_groups <= self.groups, f"kept_groups={self.kept_groups} of groups={self.groups}; keep fewer")

    def kept(self, num_experts: int) -> int:
        """The probabilities, and the division."""
        return num_experts + self.renormalise * (self.top_k + 1)

    def choose(self, logits: Float[Tensor, "tokens experts"], bias: Float[Tensor, "experts"] | None) -> Choice:
        """The choice for each token, computed in float32 at least."""
        probabilities = logits.softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        ranked = _within_best_groups(probabilities, self.groups, self.kept_groups, 1)
        weights, experts = ranked.topk(self.top_k, -1)
        if self.renormalise:
            weights = weights / weights.sum(-1, keepdim=True)
        weights = weights * self.scale
        return Choice(experts, weights.to(logits.dtype), probabilities)


@dataclass(frozen=True)
class SigmoidRouter:
    """s = sigmoid(logits); the k largest of s + bias, with weights scale * s / Σs of those (DeepSeek-V3, GLM-4.5).

    With groups only experts of the best `kept_groups` groups are looked at, a group being as good as its two best. The
    bias decides the choice alone, so that it can balance the load without a loss (Wang et al. 2024, arXiv 2408.15664).

    Args:
        top_k: experts a token.
        scale: factor of the weights.
        renormalise: divide by the sum.
        groups: equal parts of the experts.
        kept_groups: how many of them are looked at.
        score: of the logits; `sqrt_softplus` in DeepSeek-V4, `softmax` in Ernie 4.5.
    Source: DeepSeek-V3 (arXiv 2412.19437), section 2.1.2.
    """

    top_k: int
    scale: float = 1.0
    renormalise: bool = True
    groups: int = 1
    kept_groups: int = 1
    score: Activation = sigmoid
    is_balanced_by_bias: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        require_positive(top_k=self.top_k, scale=self.scale, groups=self.groups, kept_groups=self.kept_groups)
        require(self.kept_groups <= self.groups, f"kept_groups={self.kept_groups} of groups={self.groups}; keep fewer")

    def kept(self, num_experts: int) -> int:
        """The scores and their sum, and the division."""
        scores = num_experts * (1 + kept_numbers(self.score))
        return scores + 1 + self.renormalise * (self.top_k + 1)

    def choose(self, logits: Float[Tensor, "tokens experts"], bias: Float[Tensor, "experts"] | None) -> Choice:
        """The choice for each token, computed in float32 at least."""
        scores = self.score(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        ranked = scores if bias is None else scores + bias
        ranked = _within_best_groups(ranked, self.groups, self.kept_groups, 2)
        return self._weigh(logits, scores, ranked.topk(self.top_k, -1).indices)

    def weigh(self, logits: Float[Tensor, "tokens experts"], experts: Int[Tensor, "tokens k"]) -> Choice:
        """The weights of experts that something else has chosen."""
        scores = self.score(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        return self._weigh(logits, scores, experts)

    def _weigh(self, logits: Tensor, scores: Tensor, experts: Tensor) -> Choice:
        weights = scores.gather(-1, experts)
        if self.renormalise:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        weights = weights * self.scale
        return Choice(experts, weights.to(logits.dtype), scores / scores.sum(-1, keepdim=True))


@dataclass(frozen=True)
class MoE:
    """Σ over the chosen experts of weight * down(activation(gate(x)) * up(x)), and what all tokens share.

    Args:
        num_experts: experts to choose from.
        d_ff: width inside of each.
        router: how they are chosen.
        activation: of the gates; one that learns is shared by the experts.
        shared: a block for all tokens, added (DeepSeekMoE, arXiv 2401.06066).
        shared_gate: multiply it by sigmoid(w x) (Qwen2-MoE).
        bias: offsets of the router and of the experts' maps (gpt-oss).
        gating: what becomes of gate and up in place of activation(gate) * up.
    No token is dropped, whatever the load.
    """

    num_experts: int
    d_ff: int
    router: Router
    activation: Activation | LearnedActivation = silu
    shared: SwiGLU | None = None
    shared_gate: bool = False
    bias: bool = False
    gating: Gating | None = None

    def __post_init__(self) -> None:
        require_positive(num_experts=self.num_experts, d_ff=self.d_ff)
        top_k, groups = self.router.top_k, getattr(self.router, "groups", 1)
        require(top_k <= self.num_experts, f"top_k={top_k} of num_experts={self.num_experts}; choose fewer")
        require(self.num_experts % groups == 0, f"groups={groups} does not divide num_experts={self.num_experts}")
        has_gated = self.shared is not None or not self.shared_gate
        require(has_gated, "shared_gate=True without a shared block; give `shared`")

    def build(self, d_model: int) -> "MoEModule":
        """The module for a model of that width."""
        return MoEModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """All experts are parameters; a token uses `top_k` of them, the router and what is shared."""
        expert, offsets = 3 * d_model * self.d_ff, self.bias * (2 * self.d_ff + d_model)
        total = dense(self.num_experts * d_model, (self.router.is_balanced_by_bias + self.bias) * self.num_experts)
        used = self.router.top_k * expert
        total += Cost(self.num_experts * expert, used, matmul_flops=2 * used)
        total += Cost(self.num_experts * offsets, self.router.top_k * offsets)
        total += dense(0, 0 if self.gating is not None else learned_numbers(self.activation))
        total += Cost(activation_elements=self._kept(d_model))
        if self.shared is not None:
            gated = self.shared_gate * (d_model + 1)
            total += self.shared.cost(d_model) + dense(self.shared_gate * d_model, 0, gated - d_model)
        return total

    def _kept(self, d_model: int) -> int:
        """What the backward pass needs: x, the choice, and of each chosen expert what it reads, makes and gives."""
        top_k, inner = self.router.top_k, self.d_ff * (1 + gated_numbers(self.activation, self.gating))
        return d_model + self.router.kept(self.num_experts) + top_k * (3 * d_model + inner + 1)


def _by_expert(x_ND: Tensor, choice: Choice, num_experts: int, work: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Sort the (token, expert) pairs by expert, so that each expert is one product over its tokens."""
    order = choice.experts.flatten().argsort(stable=True)
    tokens = order // choice.experts.shape[1]
    counts = torch.bincount(choice.experts.flatten(), minlength=num_experts).tolist()
    parts = [work(part, expert) for expert, part in enumerate(torch.split(x_ND[tokens], counts)) if len(part)]
    if not parts:
        return torch.zeros_like(x_ND)
    weighted = torch.cat(parts) * choice.weights.flatten()[order][:, None]
    return torch.zeros_like(x_ND).index_add(0, tokens, weighted.to(x_ND.dtype))


class MoEModule(nn.Module):
    """`MoE` with its weights. Shapes: N tokens, K chosen, E experts, D d_model, F d_ff.

    After a forward pass in training mode `probability` and `share` tell how the router chose: its mean probability
    of each expert, and the tokens that each got as a share of all (they add up to K).
    """

    probability: Tensor | None
    share: Tensor | None

    def __init__(self, spec: MoE, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.router = nn.Linear(d_model, spec.num_experts, bias=spec.bias)
        balanced = spec.router.is_balanced_by_bias
        self.router_bias = nn.Parameter(torch.zeros(spec.num_experts), requires_grad=False) if balanced else None
        self.gate_EFD = nn.Parameter(torch.empty(spec.num_experts, spec.d_ff, d_model))
        self.up_EFD = nn.Parameter(torch.empty(spec.num_experts, spec.d_ff, d_model))
        self.down_EDF = nn.Parameter(torch.empty(spec.num_experts, d_model, spec.d_ff))
        self.gate_bias_EF = nn.Parameter(torch.empty(spec.num_experts, spec.d_ff)) if spec.bias else None
        self.up_bias_EF = nn.Parameter(torch.empty(spec.num_experts, spec.d_ff)) if spec.bias else None
        self.down_bias_ED = nn.Parameter(torch.empty(spec.num_experts, d_model)) if spec.bias else None
        self.shared = None if spec.shared is None else spec.shared.build(d_model)
        self.shared_gate = nn.Linear(d_model, 1, bias=False) if spec.shared_gate else None
        self.activation = None if spec.gating is not None else activation_of(spec.activation)
        self.probability = self.share = None

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Experts as any matrix, those of `down` as maps onto the residual stream; the bias 0."""
        for parameter, size in ((self.gate_EFD, std), (self.up_EFD, std), (self.down_EDF, residual_std)):
            drawn = torch.empty(parameter.shape, dtype=torch.float32, device=generator.device)
            parameter.detach().copy_(drawn.normal_(0.0, size, generator=generator))
        for bias in (self.router_bias, self.gate_bias_EF, self.up_bias_EF, self.down_bias_ED):
            if bias is not None:
                bias.detach().zero_()

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Each token by its experts."""
        x_ND = x.reshape(-1, x.shape[-1])
        return self._work(x_ND, self._choose(x_ND)).view(x.shape)

    def _work(self, x_ND: Tensor, choice: Choice) -> Tensor:
        """What the chosen experts and the shared block make of each token; notes how the router chose."""
        mixed_ND = self._experts(x_ND, choice)
        if self.training:
            counts = torch.bincount(choice.experts.flatten(), minlength=self.spec.num_experts)
            self.share = counts / max(len(x_ND), 1)
            self.probability = choice.probabilities.mean(0)
        if self.shared is not None:
            shared_ND: Tensor = self.shared(x_ND)
            if self.shared_gate is not None:
                shared_ND = torch.sigmoid(self.shared_gate(x_ND)) * shared_ND
            mixed_ND = mixed_ND + shared_ND
        return mixed_ND

    def _choose(self, x_ND: Tensor) -> Choice:
        return self.spec.router.choose(self.router(x_ND), self.router_bias)

    def _experts(self, x_ND: Tensor, choice: Choice) -> Tensor:
        return _by_expert(x_ND, choice, self.spec.num_experts, self._expert)

    def gating(self, gate: Float[Tensor, "... d_ff"], up: Float[Tensor, "... d_ff"]) -> Float[Tensor, "... d_ff"]:
        """What an expert makes of the two."""
        if self.activation is not None:
            return self.activation(gate) * up
        assert self.spec.gating is not None
        return self.spec.gating(gate, up)

    def _expert(self, x_ND: Tensor, e: int) -> Tensor:
        biases = (self.gate_bias_EF, self.up_bias_EF, self.down_bias_ED)
        gate_bias, up_bias, down_bias = (None if bias is None else bias[e] for bias in biases)
        gate, up = F.linear(x_ND, self.gate_EFD[e], gate_bias), F.linear(x_ND, self.up_EFD[e], up_bias)
        inner = self.gating(gate, up)
        return F.linear(inner, self.down_EDF[e], down_bias)


@dataclass(frozen=True)
class ClampedGating:
    """g sigmoid(alpha g) (u + 1) with g = min(gate, limit) and u = up within ±limit: how gpt-oss's experts gate.

    Args:
        alpha: steepness; 1.702 makes x sigmoid(alpha x) nearly GELU.
        limit: > 0.
    Source: gpt-oss model card (arXiv 2508.10925).
    """

    alpha: float = 1.702
    limit: float = 7.0

    def __post_init__(self) -> None:
        require_positive(alpha=self.alpha, limit=self.limit)

    def __call__(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the map down reads."""
        gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return gate * torch.sigmoid(self.alpha * gate) * (up + 1)


def _routed(model: nn.Module) -> list[MoEModule]:
    found = [module for module in model.modules() if isinstance(module, MoEModule)]
    if not found or any(module.share is None for module in found):
        raise ArchError("no router has chosen yet; the model needs MoE blocks and a forward pass in training mode")
    return found


def load_balancing_loss(model: nn.Module) -> Float[Tensor, ""]:
    """E * Σ_e share_e * probability_e, both averaged over the layers: smallest, at top_k, where all experts are alike.

    To be added to the training loss, times about 0.01; the gradient flows through the probabilities.

    Raises:
        ArchError: no forward pass in training mode before it, or layers with different numbers of experts.
    Source: Fedus et al. 2021, eq. 4-6 (arXiv 2101.03961), pooled over layers as Hugging Face does.
    """
    routed = _routed(model)
    sizes = {module.spec.num_experts for module in routed}
    require(len(sizes) == 1, f"layers have {sorted(sizes)} experts; their loads cannot be averaged")
    shares = torch.stack([module.share for module in routed if module.share is not None]).mean(0)
    probabilities = torch.stack([m.probability for m in routed if m.probability is not None]).mean(0)
    return routed[0].spec.num_experts * (shares * probabilities).sum()


@torch.no_grad()
def update_router_biases(model: nn.Module, rate: float = 1e-3) -> None:
    """bias_e += rate * sign(mean share - share_e): experts with too many tokens are chosen less. No loss, no gradient.

    To be called after each optimizer step; where ranks see different tokens, average `share` over them first.

    Args:
        model: with routers that are balanced by a bias; others are left alone.
        rate: step of the bias, > 0.

    Raises:
        ArchError: no forward pass in training mode before it.
    Source: Wang et al. 2024, algorithm 1 (arXiv 2408.15664).
    """
    require_positive(rate=rate)
    for module in _routed(model):
        if module.router_bias is not None and module.share is not None:
            step = rate * torch.sign(module.share.mean() - module.share)
            module.router_bias.add_(step.to(module.router_bias.dtype))
