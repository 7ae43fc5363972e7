"""One layer: a mixer of tokens, then a feed-forward block, each on the residual stream."""

from dataclasses import dataclass, field
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor, nn

from .context import Context, RotationKey
from .cost import Cost
from .norm import Norm, RMSNorm
from .residual import Placement, PreNorm


class Mixer(Protocol):
    """A value that builds what moves information between tokens: attention, a state space, a convolution."""

    def build(self, d_model: int, layer: int) -> nn.Module:
        """The module `(x, context) -> x`, both of shape (batch, seq, d_model)."""
        ...

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that a forward pass must hold ready for it."""
        ...

    def cost(self, d_model: int, context_length: int) -> Cost:
        """What it adds to the model."""
        ...


class FeedForward(Protocol):
    """A value that builds what works on each token alone: an MLP, a gated unit, experts."""

    def build(self, d_model: int) -> nn.Module:
        """The module `(..., d_model) -> (..., d_model)`."""
        ...

    def cost(self, d_model: int) -> Cost:
        """What it adds to the model."""
        ...


def _reads_context(feed_forward: nn.Module) -> bool:
    """Whether a block asks for the context too, as one that looks its experts up by token does."""
    return getattr(feed_forward, "reads_context", False)


class LayerSpec(Protocol):
    """What a `Decoder` asks of each of its layers; `Layer` is the usual one."""

    def build(self, d_model: int, layer: int) -> nn.Module:
        """The module `(x, context) -> x`, both of shape (batch, seq, d_model)."""
        ...

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that a forward pass must hold ready for it."""
        ...

    def cost(self, d_model: int, context_length: int) -> Cost:
        """What it adds to the model."""
        ...


class LayerInputsModule(Protocol):
    """What reads the tokens of a pass before its layers do."""

    def __call__(
        self, tokens: Int[Tensor, "batch seq"], x: Float[Tensor, "batch seq d_model"], context: Context
    ) -> None:
        """Leave in `context.notes` what the layers read; x is the embedded input."""
        ...


class LayerInputsSpec(Protocol):
    """A value that builds what gives every layer an input besides the stream, such as `LayerInputs`."""

    def build(self, d_model: int, num_layers: int) -> LayerInputsModule:
        """The module, an `nn.Module`."""
        ...

    def cost(self, d_model: int, num_layers: int) -> Cost:
        """What it adds to the model."""
        ...


@dataclass(frozen=True)
class Layer:
    """A mixer and a feed-forward block, each with its norm and its residual connection.

    Args:
        mixer: such as `Attention`.
        feed_forward: such as `SwiGLU`.
        norm: built anew for every place where one stands.
        placement: where those places are.
        cross: between the two, a mixer that reads the encoder's states, such as `CrossAttention`.
        mixer_placement: where the places around the mixer are, where that differs.
    """

    mixer: Mixer
    feed_forward: FeedForward
    norm: Norm = field(default=RMSNorm())
    placement: Placement = field(default=PreNorm())
    cross: Mixer | None = None
    mixer_placement: Placement | None = None

    @property
    def copies(self) -> int:
        """Copies of the stream that the placement works on (`HyperConnections`), else 1."""
        return getattr(self.placement, "copies", 1)

    def build(self, d_model: int, layer: int = 0) -> "LayerModule":
        """The module for a model of that width; `layer` is its index there."""
        cross = None if self.cross is None else self.cross.build(d_model, layer)
        feed_forward = self.feed_forward.build(d_model)
        return LayerModule(
            (self.mixer_placement or self.placement).build(
                self.mixer.build(d_model, layer), self.norm, d_model, 2 * layer
            ),
            self.placement.build(feed_forward, self.norm, d_model, 2 * layer + 1),
            None if cross is None else self.placement.build(cross, self.norm, d_model, 2 * layer),
            _reads_context(feed_forward),
        )

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that its mixers need."""
        return self.mixer.rotation_keys + (() if self.cross is None else self.cross.rotation_keys)

    def cost(self, d_model: int, context_length: int) -> Cost:
        """The sum of its parts."""
        norms = self.placement.cost(self.norm, d_model)
        total = (self.mixer_placement or self.placement).cost(self.norm, d_model) + norms
        if self.cross is not None:
            total += self.cross.cost(d_model, context_length) + norms
        return total + self.mixer.cost(d_model, context_length) + self.feed_forward.cost(d_model)


class LayerModule(nn.Module):
    """`Layer` with its weights."""

    def __init__(
        self, mixer: nn.Module, feed_forward: nn.Module, cross: nn.Module | None = None, reads_context: bool = False
    ) -> None:
        super().__init__()
        self.mixer, self.cross, self.feed_forward = mixer, cross, feed_forward
        self.reads_context = reads_context

    def forward(self, x: Float[Tensor, "batch seq d_model"], context: Context) -> Float[Tensor, "batch seq d_model"]:
        """Mix the tokens, read the encoder's states where there are such, then work on each token."""
        x = self.mixer(x, context)
        if self.cross is not None:
            x = self.cross(x, context)
        y: Tensor = self.feed_forward(x, context) if self.reads_context else self.feed_forward(x)
        return y


@dataclass(frozen=True)
class ParallelLayer:
    """x + mixer(norm(x)) + feed_forward(norm'(x)): both read the same stream (GPT-J, GPT-NeoX, Falcon, Cohere).

    Args:
        mixer: such as `Attention`.
        feed_forward: such as `MLP`.
        norm: built once, or once for each of the two.
        shares_norm: norm and norm' are one (GPT-J, Falcon 7B, Cohere), not two (GPT-NeoX).
    Source: Wang and Komatsuzaki 2021 (GPT-J).
    """

    mixer: Mixer
    feed_forward: FeedForward
    norm: Norm = field(default=RMSNorm())
    shares_norm: bool = True

    def build(self, d_model: int, layer: int = 0) -> "ParallelLayerModule":
        """The module for a model of that width; `layer` is its index there."""
        norms = [self.norm.build(d_model) for _ in range(1 if self.shares_norm else 2)]
        return ParallelLayerModule(self.mixer.build(d_model, layer), self.feed_forward.build(d_model), norms)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that its mixer needs."""
        return self.mixer.rotation_keys

    def cost(self, d_model: int, context_length: int) -> Cost:
        """The sum of its parts."""
        norms = self.norm.cost(d_model)
        norms = norms if self.shares_norm else norms + norms
        once = Cost(activation_elements=-d_model)  # what both read is kept once
        return self.mixer.cost(d_model, context_length) + self.feed_forward.cost(d_model) + norms + once


class ParallelLayerModule(nn.Module):
    """`ParallelLayer` with its weights."""

    def __init__(self, mixer: nn.Module, feed_forward: nn.Module, norms: list[nn.Module]) -> None:
        super().__init__()
        self.mixer, self.feed_forward = mixer, feed_forward
        self.mixer_norm = norms[0]
        self.feed_forward_norm = norms[1] if len(norms) > 1 else None

    def forward(self, x: Float[Tensor, "batch seq d_model"], context: Context) -> Float[Tensor, "batch seq d_model"]:
        """Both branches from x, then one sum."""
        normalised = self.mixer_norm(x)
        other = normalised if self.feed_forward_norm is None else self.feed_forward_norm(x)
        inputs = (other, context) if _reads_context(self.feed_forward) else (other,)
        y: Tensor = x + self.mixer(normalised, context) + self.feed_forward(*inputs)
        return y


@dataclass(frozen=True)
class MixerLayer:
    """A mixer alone on the stream, where it does the feed-forward block's work too (Mamba-2).

    Args:
        mixer: such as `Mamba2`.
        norm: built for every place where one stands.
        placement: where those places are.
    """

    mixer: Mixer
    norm: Norm = field(default=RMSNorm())
    placement: Placement = field(default=PreNorm())

    @property
    def copies(self) -> int:
        """Copies of the stream that the placement works on."""
        return getattr(self.placement, "copies", 1)

    def build(self, d_model: int, layer: int = 0) -> "MixerLayerModule":
        """The module for a model of that width; `layer` is its index there."""
        return MixerLayerModule(self.placement.build(self.mixer.build(d_model, layer), self.norm, d_model, layer))

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that its mixer needs."""
        return self.mixer.rotation_keys

    def cost(self, d_model: int, context_length: int) -> Cost:
        """The sum of its parts."""
        return self.mixer.cost(d_model, context_length) + self.placement.cost(self.norm, d_model)


class MixerLayerModule(nn.Module):
    """`MixerLayer` with its weights."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Float[Tensor, "batch seq d_model"], context: Context) -> Float[Tensor, "batch seq d_model"]:
        """Mix the tokens."""
        y: Tensor = self.mixer(x, context)
        return y
