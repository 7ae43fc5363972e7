"""The encoder: an embedding and a tuple of layers that see both ways."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .bias import PositionBias, bias_cost, build_bias
from .building import Buildable
from .context import context_of
from .cost import UNCOUNTED, Cost, dense
from .embedding import embed
from .errors import require, require_positive
from .initialization import Initialization
from .layer import LayerSpec
from .norm import LayerNorm, Norm
from .position import AbsolutePosition


@dataclass(frozen=True)
class Encoder(Buildable["EncoderModel"]):
    """Token ids to states, each of which has seen all tokens: BERT's body, or the first half of a seq2seq transformer.

    Its layers hold `Attention(is_causal=False)`. The other arguments are those of `Decoder`.

    Args:
        vocab_size: number of token ids.
        d_model: width of the states.
        layers: one value a layer.
        norm: of the last states; None leaves it out, as behind post-norm layers.
        segments: kinds of segments with an embedding each (BERT: 2, the first and second of a pair); 0 means none.
        initialization: the weights that training starts from.
        context_length: the longest sequence it is meant for.
        position: embedding of absolute positions.
        embedding_scale: factor of the token embedding.
        embedding_norm: norm of the embedded input.
        position_bias: added to the scores, one for all layers.
    """

    vocab_size: int
    d_model: int
    layers: tuple[LayerSpec, ...]
    norm: Norm | None = field(default=LayerNorm())
    segments: int = 0
    initialization: Initialization = field(default=Initialization())
    context_length: int = 512
    position: AbsolutePosition | None = None
    embedding_scale: float = 1.0
    embedding_norm: Norm | None = None
    position_bias: PositionBias | None = None

    def __post_init__(self) -> None:
        require_positive(vocab_size=self.vocab_size, d_model=self.d_model, context_length=self.context_length)
        require(self.segments >= 0, f"segments={self.segments} must not be negative")
        kind = type(self.layers).__name__
        require(isinstance(self.layers, tuple), f"layers is a {kind}, but a value must not change; use a tuple")

    def module(self) -> "EncoderModel":
        """The module, with the parameters that its constructors leave."""
        return EncoderModel(self)

    def cost(self, context_length: int | None = None) -> Cost:
        """Parameters and FLOPs of one token among `context_length` (default: the model's)."""
        length = self.context_length if context_length is None else context_length
        total = dense(0, (self.vocab_size + self.segments) * self.d_model)
        for norm in (self.norm, self.embedding_norm):
            total += Cost() if norm is None else norm.cost(self.d_model)
        total += Cost() if self.position is None else self.position.cost(self.d_model)
        total += bias_cost(self.position_bias, self.layers)
        for layer in self.layers:
            total += layer.cost(self.d_model, length)
        return total + UNCOUNTED


class EncoderModel(nn.Module):
    """`Encoder` with its weights."""

    def __init__(self, spec: Encoder) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocab_size, spec.d_model)
        self.position = None if spec.position is None else spec.position.build(spec.d_model)
        self.segment = nn.Embedding(spec.segments, spec.d_model) if spec.segments else None
        self.embedding_norm = nn.Identity() if spec.embedding_norm is None else spec.embedding_norm.build(spec.d_model)
        self.layers = nn.ModuleList(layer.build(spec.d_model, index) for index, layer in enumerate(spec.layers))
        self.position_bias = build_bias(spec.position_bias, spec.layers)
        self.norm = nn.Identity() if spec.norm is None else spec.norm.build(spec.d_model)
        self._rotation_keys = tuple(dict.fromkeys(key for layer in spec.layers for key in layer.rotation_keys))

    def forward(
        self,
        tokens: Int[Tensor, "batch seq"],
        keep: Bool[Tensor, "batch seq"] | None = None,
        segments: Int[Tensor, "batch seq"] | None = None,
        positions: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The state of every token.

        Args:
            tokens: ids below `vocab_size`.
            keep: False marks padding, anywhere; what is returned there is to be ignored. None keeps all.
            segments: which part of a pair each token belongs to; None means the first.
            positions: absolute index of each token; None means 0, 1, 2 ... .
        """
        if self.segment is not None and segments is None:
            segments = torch.zeros_like(tokens)
        require(segments is None or self.segment is not None, "segments were given to an encoder that has none")
        context = context_of(
            tokens, positions, self._rotation_keys, self.embedding.weight.dtype, keep=keep, bias=self.position_bias
        )
        x = embed(self, tokens, context.positions, segments)
        for layer in self.layers:
            x = layer(x, context)
        states: Tensor = self.norm(x)
        return states
