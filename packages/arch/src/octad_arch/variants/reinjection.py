"""The embedding added to the stream again in front of a layer."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..context import Context, RotationKey
from ..cost import Cost, dense
from ..errors import ArchError
from ..layer import LayerSpec


@dataclass(frozen=True)
class Reinjected:
    """layer(λ_r x + λ_0 x_0), with x_0 what the first layer of the model read: the normalised embedding, say.

    Both λ are learned, one pair a layer. Works around every layer and every stream.

    Args:
        layer: such as `Layer`.
        carried: where λ_r starts.
        embedded: where λ_0 starts; 0 makes the model start as one without (modded-nanogpt), nanochat starts at 0.1.
    Source: Jordan et al. 2024 (modded-nanogpt), Karpathy 2025 (nanochat).
    """

    layer: LayerSpec
    carried: float = 1.0
    embedded: float = 0.1

    @property
    def copies(self) -> int:
        """Copies of the stream that the layer works on."""
        return getattr(self.layer, "copies", 1)

    def build(self, d_model: int, layer: int = 0) -> "ReinjectedModule":
        """The layer's module, with its two numbers."""
        return ReinjectedModule(self, self.layer.build(d_model, layer))

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that the layer needs."""
        return self.layer.rotation_keys

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Two numbers more."""
        return self.layer.cost(d_model, context_length) + dense(0, 2, self.copies * d_model)


class ReinjectedModule(nn.Module):
    """`Reinjected` with its weights."""

    def __init__(self, spec: Reinjected, layer: nn.Module) -> None:
        super().__init__()
        self.spec, self.layer = spec, layer
        self.lambdas = nn.Parameter(torch.empty(2))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """As the value says."""
        self.lambdas.detach().copy_(torch.tensor([self.spec.carried, self.spec.embedded]))

    def forward(self, x: Float[Tensor, "batch seq ..."], context: Context) -> Float[Tensor, "batch seq ..."]:
        """Mix in the embedding, then the layer."""
        if context.embedded is None:
            raise ArchError("Reinjected needs context.embedded, what the first layer read; give Context(embedded=...)")
        y: Tensor = self.layer(self.lambdas[0] * x + self.lambdas[1] * context.embedded, context)
        return y
