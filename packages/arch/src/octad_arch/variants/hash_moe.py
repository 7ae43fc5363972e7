"""Experts looked up by token id: a fixed table in place of a router's choice."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..context import Context
from ..cost import Cost, dense
from ..errors import ArchError, require, require_positive
from .moe import MoE, MoEModule, SigmoidRouter


@dataclass(frozen=True, kw_only=True)
class HashMoE(MoE):
    """`MoE` in which the table tells the experts of each token id; the router gives their weights alone.

    The table is a parameter without gradient; at the start each token id has `top_k` different experts, drawn evenly.

    Args:
        vocab_size: rows of the table.
    Source: Roller et al. 2021 (arXiv 2106.04426); DeepSeek-V4, as transformers builds it (`DeepseekV4HashRouter`).
    """

    vocab_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(vocab_size=self.vocab_size)
        require(isinstance(self.router, SigmoidRouter), "a table needs a router that weighs: SigmoidRouter")

    def build(self, d_model: int) -> "HashMoEModule":
        """The module for a model of that width."""
        return HashMoEModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """That of the experts with the table in place of the bias; a token uses one row."""
        table = Cost(self.vocab_size * self.router.top_k, self.router.top_k)
        return super().cost(d_model) + dense(0, -self.num_experts) + table


class HashMoEModule(MoEModule):
    """`HashMoE` with its weights."""

    reads_context: ClassVar[bool] = True

    def __init__(self, spec: HashMoE, d_model: int) -> None:
        super().__init__(spec, d_model)
        self.router_bias = None
        rows = torch.zeros(spec.vocab_size, spec.router.top_k, dtype=torch.long)
        self.table = nn.Parameter(rows, requires_grad=False)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The experts as in `MoE`, the table at random."""
        super().initialize(std, residual_std, generator)
        drawn = torch.rand(len(self.table), self.spec.num_experts, device=generator.device, generator=generator)
        self.table.detach().copy_(drawn.argsort(-1)[:, : self.spec.router.top_k])

    def forward(  # type: ignore[override]  # `reads_context` says so
        self, x: Float[Tensor, "batch seq d_model"], context: Context
    ) -> Float[Tensor, "batch seq d_model"]:
        """Each token by the experts of its id."""
        if context.tokens is None:
            raise ArchError("HashMoE looks experts up by token id, which this model does not hand on")
        assert isinstance(self.spec.router, SigmoidRouter)
        x_ND = x.reshape(-1, x.shape[-1])
        choice = self.spec.router.weigh(self.router(x_ND), self.table[context.tokens.flatten()])
        return self._work(x_ND, choice).view(x.shape)
