"""Attention over the keys and values of an earlier layer: later layers have none of their own, and keep none."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ..attention import AfterRotation, AllHeads, Attention, AttentionModule
from ..context import Context
from ..cost import Cost
from ..errors import ArchError, require


@dataclass(frozen=True)
class LendingAttention(Attention):
    """`Attention` that leaves its keys and values for every `BorrowingAttention` after it."""

    def build(self, d_model: int, layer: int = 0) -> "LendingAttentionModule":
        """The module for a model of that width; `layer` is its index there."""
        return LendingAttentionModule(self, d_model, layer)


class LendingAttentionModule(AttentionModule):
    """`LendingAttention` with its weights."""

    def _mix(self, q_BHSE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, context: Context) -> Tensor:
        context.notes[f"key {self.layer}"], context.notes[f"value {self.layer}"] = k_BKSE, v_BKSE
        return super()._mix(q_BHSE, k_BKSE, v_BKSE, context)


@dataclass(frozen=True)
class BorrowingAttention(Attention):
    """softmax(q kᵀ / sqrt(d_head)) v, with the k and v of layer `lender`, a `LendingAttention` of as many key heads.

    A cache keeps them once, for the lender. `qk_norm` and `position` concern the queries alone.

    Args:
        lender: index of the layer, before this one.
    Source: Brandon et al. 2024 (arXiv 2405.12981), as Gemma 3n and Gemma 4 do it.
    """

    lender: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = self.value_mix is None and not self.key_is_value
        require(plain, "value_mix and key_is_value say what values are made of; give them to the lender")

    def build(self, d_model: int, layer: int = 0) -> "BorrowingAttentionModule":
        """The module for a model of that width; `layer` is its index there."""
        require(self.lender < layer, f"layer {layer} borrows from lender={self.lender}; name a layer before it")
        return BorrowingAttentionModule(self, d_model, layer)

    def cost(self, d_model: int, context_length: int) -> Cost:
        """That of the attention, without maps and cache of keys and values."""
        whole, kv_inner = super().cost(d_model, context_length), self.num_kv_heads * self.d_head
        spared = 2 * kv_inner * (d_model + self.bias)
        spared += 0 if self.qk_norm is None else int(_key_norm(self).parameters)
        flops = whole.matmul_flops - 4 * kv_inner * d_model
        kept = whole.activation_elements - (0 if self.qk_norm is None else _key_norm(self).activation_elements)
        if self.softcap is None and not self.sinks:  # the lender's own tensors
            kept -= 2 * kv_inner
        counts = (whole.parameters - spared, whole.active_parameters - spared, flops, whole.attention_flops)
        return Cost(*counts, activation_elements=kept)


def _key_norm(spec: Attention) -> Cost:
    """What the norm of the keys adds to an attention that has its own."""
    norm = spec.qk_norm
    if isinstance(norm, AllHeads):
        return norm.norm.cost(spec.num_kv_heads * spec.d_head)
    own = (norm.norm if isinstance(norm, AfterRotation) else norm).cost(spec.d_head)  # type: ignore[union-attr]
    return own + Cost(activation_elements=(spec.num_kv_heads - 1) * own.activation_elements)


class BorrowingAttentionModule(AttentionModule):
    """`BorrowingAttention` with its weights. Shapes: B batch, S seq, D d_model, H heads (K of keys), E d_head."""

    spec: BorrowingAttention

    def __init__(self, spec: BorrowingAttention, d_model: int, layer: int) -> None:
        super().__init__(spec, d_model, layer)
        self.key = self.value = self.key_norm = nn.Identity()  # type: ignore[assignment]

    def _keys_and_values(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> tuple[Float[Tensor, "batch kv_heads seq d_head"], Float[Tensor, "batch kv_heads seq d_head"]]:
        lender = self.spec.lender
        if f"key {lender}" not in context.notes:
            raise ArchError(f"layer {self.layer} asks lender={lender}, which is no LendingAttention; make it one")
        return context.notes[f"key {lender}"], context.notes[f"value {lender}"]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context, options: dict[str, Any]) -> Tensor:
        assert context.cache is not None
        positions_BS = context.positions.expand(len(q), -1)
        return context.cache.attend(self.spec.lender, q, k, v, positions_BS, is_stored=True, **options)
