"""The decoder: an embedding, a tuple of layers, a norm and a head."""

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .bias import PositionBias, bias_cost, build_bias
from .building import Buildable
from .cache import AttentionCache
from .context import Context, context_of
from .cost import Cost, dense
from .embedding import embed
from .errors import require, require_positive
from .gains import Gains
from .initialization import Initialization
from .layer import LayerInputsSpec, LayerSpec
from .logit_passes import soft_cap
from .loss_head import IGNORE_INDEX, linear_cross_entropy, token_log_probs
from .memory import Memory
from .norm import Norm, RMSNorm
from .position import AbsolutePosition
from .stream import Stream


@dataclass(frozen=True)
class Decoder(Buildable["DecoderModel"]):
    """A language model as a value: composed of values, compared with ==, built into a module with `build`.

    Args:
        vocab_size: number of token ids.
        d_model: width of the residual stream.
        layers: one value a layer, in order; they need not be alike.
        norm: the norm before the head; None leaves it out.
        tied_embeddings: the head reads the embedding's own matrix.
        initialization: the weights that training starts from.
        context_length: the longest sequence the model is meant for; a note for exporters and servers, nothing stops
            there.
        position: embedding of absolute positions added to that of the tokens, such as `LearnedPositions`.
        embedding_scale: factor of the token embedding (Gemma: sqrt(d_model)).
        embedding_norm: norm of the embedded input (BLOOM).
        logit_scale: factor of the logits (Cohere, Granite).
        logit_softcap: logits become softcap * tanh(logits / softcap) (Gemma 2).
        head_bias: the head has an offset a token id.
        position_bias: added to the scores of every self-attention, one for all layers, such as `RelativeBias`.
        logit_gain: learn a factor for each token id's logit, which starts here (nGPT); None means no such factors.
        stream: what carries the stream where it is more than one vector a token, such as `Copies`.
        layer_inputs: what every `InputLayer` reads besides the stream.
    """

    vocab_size: int
    d_model: int
    layers: tuple[LayerSpec, ...]
    norm: Norm | None = field(default=RMSNorm())
    tied_embeddings: bool = True
    initialization: Initialization = field(default=Initialization())
    context_length: int = 2048
    position: AbsolutePosition | None = None
    embedding_scale: float = 1.0
    embedding_norm: Norm | None = None
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    head_bias: bool = False
    position_bias: PositionBias | None = None
    stream: Stream | None = None
    logit_gain: float | None = None
    layer_inputs: LayerInputsSpec | None = None

    def __post_init__(self) -> None:
        require_positive(vocab_size=self.vocab_size, d_model=self.d_model, context_length=self.context_length)
        kind = type(self.layers).__name__
        require(isinstance(self.layers, tuple), f"layers is a {kind}, but a value must not change; use a tuple")
        copies = 1 if self.stream is None else self.stream.copies
        for index, layer in enumerate(self.layers):
            works_on = getattr(layer, "copies", 1)
            claim = f"layer {index} works on copies={works_on} of the stream, which has {copies}"
            require(works_on == copies, f"{claim}; give Decoder(stream=Copies({works_on})) or another placement")

    def module(self) -> "DecoderModel":
        """The module, with the parameters that its constructors leave."""
        return DecoderModel(self)

    def cost(self, context_length: int | None = None) -> Cost:
        """Parameters, FLOPs and cache of one token that attends to `context_length` tokens (default: the model's)."""
        length = self.context_length if context_length is None else context_length
        require(length >= 0, f"context_length={length} must not be negative")
        embedding = self.vocab_size * self.d_model
        total = Cost(matmul_flops=2 * embedding) + dense(0, self.head_bias * self.vocab_size)
        total += dense(0, embedding if self.tied_embeddings else 2 * embedding)
        for norm in (self.norm, self.embedding_norm):
            total += Cost() if norm is None else norm.cost(self.d_model)
        total += Cost() if self.position is None else self.position.cost(self.d_model)
        total += bias_cost(self.position_bias, self.layers)
        total += dense(0, 0 if self.logit_gain is None else self.vocab_size)
        total += Cost() if self.stream is None else self.stream.cost(self.d_model)
        total += Cost() if self.layer_inputs is None else self.layer_inputs.cost(self.d_model, len(self.layers))
        total += Cost(activation_elements=self.d_model)  # the states, or their gradient, for `cross_entropy`
        total += Cost(checkpoint_elements=total.activation_elements)
        copies = 1 if self.stream is None else self.stream.copies
        for layer in self.layers:
            total += layer.cost(self.d_model, length) + Cost(checkpoint_elements=copies * self.d_model)
        return total


class DecoderModel(nn.Module):
    """`Decoder` with its weights."""

    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.spec, self.head_loss, self.head_log_probs = spec, linear_cross_entropy, token_log_probs
        self.embedding = nn.Embedding(spec.vocab_size, spec.d_model)
        self.layers = nn.ModuleList(layer.build(spec.d_model, index) for index, layer in enumerate(spec.layers))
        self.position = None if spec.position is None else spec.position.build(spec.d_model)
        self.embedding_norm = nn.Identity() if spec.embedding_norm is None else spec.embedding_norm.build(spec.d_model)
        self.position_bias = build_bias(spec.position_bias, spec.layers)
        self.norm = nn.Identity() if spec.norm is None else spec.norm.build(spec.d_model)
        self.head = None if spec.tied_embeddings else nn.Linear(spec.d_model, spec.vocab_size, bias=False)
        self.head_bias = nn.Parameter(torch.zeros(spec.vocab_size)) if spec.head_bias else None
        gain = spec.logit_gain
        self.logit_gains = None if gain is None else Gains(spec.vocab_size, gain, spec.d_model**-0.5)
        self.stream = None if spec.stream is None else spec.stream.build(spec.d_model)
        inputs = spec.layer_inputs
        self.layer_inputs = None if inputs is None else inputs.build(spec.d_model, len(spec.layers))
        self._rotation_keys = tuple(dict.fromkeys(key for layer in spec.layers for key in layer.rotation_keys))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The offset of the head starts at 0."""
        if self.head_bias is not None:
            self.head_bias.detach().zero_()

    @property
    def output_weight(self) -> Float[Tensor, "vocab d_model"]:
        """The matrix of the head: logits = hidden @ output_weightᵀ, before an offset and a soft cap (`logits_at`)."""
        weight = self.embedding.weight if self.head is None else self.head.weight
        return weight if self.logit_gains is None else weight * self.logit_gains()[:, None]

    def forward(
        self,
        tokens: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        cache: AttentionCache | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits of the next token at every position; arguments as in `hidden`."""
        return self.logits_at(self.hidden(tokens, positions, cache, memory))

    def logits_at(self, hidden: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        """What the head makes of the normalised states."""
        return soft_cap(F.linear(hidden, self.output_weight, self.head_bias), self.spec.logit_softcap)

    def cross_entropy(
        self,
        hidden: Float[Tensor, "... d_model"],
        targets: Int[Tensor, "..."],
        ignore_index: int = IGNORE_INDEX,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Float[Tensor, ""]:
        """-log softmax(logits_at(hidden))[target], over the targets that are not `ignore_index`; never all logits.

        As `linear_cross_entropy` with the head's matrix, its offset and its soft cap.
        """
        return self.head_loss(
            hidden,
            self.output_weight,
            targets,
            ignore_index,
            reduction,
            bias=self.head_bias,
            softcap=self.spec.logit_softcap,
        )

    def token_log_probs(
        self, hidden: Float[Tensor, "... d_model"], targets: Int[Tensor, "..."], ignore_index: int = IGNORE_INDEX
    ) -> Float[Tensor, "..."]:
        """Log softmax(logits_at(hidden))[target], one a target, 0 where it is `ignore_index`; never all logits.

        As the function `token_log_probs` with the head's matrix, its offset and its soft cap.
        """
        return self.head_log_probs(
            hidden,
            self.output_weight,
            targets,
            ignore_index=ignore_index,
            bias=self.head_bias,
            softcap=self.spec.logit_softcap,
        )

    def hidden(
        self,
        tokens: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        cache: AttentionCache | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The normalised states that the head reads, times `logit_scale`.

        Args:
            tokens: ids below `vocab_size`.
            positions: absolute index of each token, (batch, seq) or (seq,); None means 0, 1, 2 ... . Without a cache
                they only turn the rotary embeddings and a token attends to those before it in the row, so padding
                belongs on the right. With a cache, -1 marks padding anywhere.
            cache: keeper of the past, which then does all the attending.
            memory: the encoded input, for layers with cross-attention.

        Raises:
            ArchError: tokens or positions of another shape or type; a cache without positions.
        """
        return self.leave(self.hidden_states(tokens, positions, cache, memory))

    def hidden_states(
        self,
        tokens: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        cache: AttentionCache | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "batch seq ..."]:
        """What the last layer gives, before the last norm; arguments as in `hidden`."""
        x, context = self.enter(tokens, positions, cache, memory)
        for layer in self.layers:
            x = layer(x, context)
        return x

    def enter(
        self,
        tokens: Int[Tensor, "batch seq"],
        positions: Int[Tensor, "batch seq"] | None = None,
        cache: AttentionCache | None = None,
        memory: Memory | None = None,
    ) -> tuple[Float[Tensor, "batch seq ..."], Context]:
        """What the first layer reads, and the context of all of them; arguments as in `hidden`."""
        context = context_of(
            tokens,
            positions,
            self._rotation_keys,
            self.embedding.weight.dtype,
            cache=cache,
            bias=self.position_bias,
            memory=memory,
        )
        x = embed(self, tokens, context.positions)
        if self.layer_inputs is not None:
            self.layer_inputs(tokens, x, context)
        if self.stream is not None:
            x = self.stream.open(x)
        return x, replace(context, embedded=x)

    def leave(self, x: Float[Tensor, "batch seq ..."]) -> Float[Tensor, "batch seq d_model"]:
        """What the head reads, from what the last layer gave."""
        if self.stream is not None:
            x = self.stream(x)
        x = self.norm(x)
        scaled: Tensor = x if self.spec.logit_scale == 1 else x * self.spec.logit_scale
        return scaled

    def compile_layers(self) -> None:
        """Compile each layer in place with `torch.compile`; equal layers share one code, so it takes seconds.

        For training and uncached forward passes: a cache is foreign code, at which the compiled layer breaks off.
        """
        for layer in self.layers:
            layer.compile()
