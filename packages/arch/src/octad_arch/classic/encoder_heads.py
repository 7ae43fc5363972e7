"""What an encoder's states are read by: words, classes, tags, spans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from octad_arch.activation import Activation, gelu
from octad_arch.building import Buildable
from octad_arch.cost import Cost, dense
from octad_arch.encoder import Encoder, EncoderModel
from octad_arch.errors import ArchError, require, require_positive
from octad_arch.initialization import Initialization
from octad_arch.norm import LayerNorm, Norm


class EncoderHead(Protocol):
    """A value that builds what reads the states."""

    def build(self, d_model: int, vocab_size: int) -> nn.Module:
        """The module `(states, keep, embedding's matrix) -> logits`."""
        ...

    def cost(self, d_model: int, vocab_size: int) -> Cost:
        """What it adds to the model."""
        ...


@dataclass(frozen=True)
class WordHead:
    """E norm(activation(W x)) + b: the masked words, with the embedding's own matrix E (BERT).

    Args:
        activation: after the first map.
        norm: after the activation; None leaves it out.
        bias: offset of the first map.
        word_bias: an offset a token id.
        tied: False gives the head a matrix of its own.
    Source: Devlin et al. 2018, section 3.1 (arXiv 1810.04805).
    """

    activation: Activation = gelu
    norm: Norm | None = field(default=LayerNorm())
    bias: bool = True
    word_bias: bool = True
    tied: bool = True

    def build(self, d_model: int, vocab_size: int) -> "WordHeadModule":
        """The module, (batch, seq, d_model) -> (batch, seq, vocab)."""
        return WordHeadModule(self, d_model, vocab_size)

    def cost(self, d_model: int, vocab_size: int) -> Cost:
        """Two products, of which the second may be with the embedding."""
        own = dense(d_model * d_model, self.bias * d_model + self.word_bias * vocab_size)
        own += Cost() if self.norm is None else self.norm.cost(d_model)
        words = vocab_size * d_model
        return own + (Cost(matmul_flops=2 * words) if self.tied else dense(words))


class WordHeadModule(nn.Module):
    """`WordHead` with its weights."""

    def __init__(self, spec: WordHead, d_model: int, vocab_size: int) -> None:
        super().__init__()
        self.activation = spec.activation
        self.transform = nn.Linear(d_model, d_model, bias=spec.bias)
        self.norm = nn.Identity() if spec.norm is None else spec.norm.build(d_model)
        self.words = None if spec.tied else nn.Linear(d_model, vocab_size, bias=False)
        self.word_bias = nn.Parameter(torch.zeros(vocab_size)) if spec.word_bias else None

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The offset a word starts at 0."""
        if self.word_bias is not None:
            self.word_bias.detach().zero_()

    def transformed(self, states: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """What the words' matrix is multiplied with: give only the masked positions' states here."""
        x: Tensor = self.norm(self.activation(self.transform(states)))
        return x

    def forward(self, states: Tensor, keep: Tensor | None, embedding: Tensor) -> Float[Tensor, "batch seq vocab"]:
        """Logits of every word at every position."""
        weight = embedding if self.words is None else self.words.weight
        return F.linear(self.transformed(states), weight, self.word_bias)


@dataclass(frozen=True)
class PooledHead:
    """A label for the whole input: W' norm(activation(W pool(x))) (classification; BERT's next sentence).

    Args:
        num_labels: classes; 1 for a regression.
        activation: of the hidden map.
        norm: behind it; None leaves it out.
        bias: offset of the hidden map.
        takes_mean: pool by the mean over the tokens that are kept instead of by the first token.
    """

    num_labels: int
    activation: Activation = torch.tanh
    norm: Norm | None = None
    bias: bool = True
    takes_mean: bool = False

    def __post_init__(self) -> None:
        require_positive(num_labels=self.num_labels)

    def build(self, d_model: int, vocab_size: int) -> "PooledHeadModule":
        """The module, (batch, seq, d_model) -> (batch, num_labels)."""
        return PooledHeadModule(self, d_model)

    def cost(self, d_model: int, vocab_size: int) -> Cost:
        """Its parameters; work once an input counts as none a token."""
        count = d_model * d_model + self.bias * d_model + (d_model + 1) * self.num_labels
        return Cost(count, count) + (Cost() if self.norm is None else self.norm.cost(d_model))


class PooledHeadModule(nn.Module):
    """`PooledHead` with its weights."""

    def __init__(self, spec: PooledHead, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.hidden = nn.Linear(d_model, d_model, bias=spec.bias)
        self.norm = nn.Identity() if spec.norm is None else spec.norm.build(d_model)
        self.labels = nn.Linear(d_model, spec.num_labels)

    def forward(self, states: Tensor, keep: Tensor | None, embedding: Tensor) -> Float[Tensor, "batch num_labels"]:
        """One score a label."""
        pooled = states[:, 0]
        if self.spec.takes_mean:
            kept = torch.ones_like(states[..., :1]) if keep is None else keep[..., None].to(states.dtype)
            pooled = (states * kept).sum(1) / kept.sum(1).clamp(min=1)
        labels: Tensor = self.labels(self.norm(self.spec.activation(self.hidden(pooled))))
        return labels


@dataclass(frozen=True)
class TokenHead:
    """A label for each token: W x + b. Named entities; with two labels the start and the end of an answer.

    Args:
        num_labels: classes.
    """

    num_labels: int

    def __post_init__(self) -> None:
        require_positive(num_labels=self.num_labels)

    def build(self, d_model: int, vocab_size: int) -> "TokenHeadModule":
        """The module, (batch, seq, d_model) -> (batch, seq, num_labels)."""
        return TokenHeadModule(self, d_model)

    def cost(self, d_model: int, vocab_size: int) -> Cost:
        """One map."""
        return dense(d_model * self.num_labels, self.num_labels)


class TokenHeadModule(nn.Module):
    """`TokenHead` with its weights."""

    def __init__(self, spec: TokenHead, d_model: int) -> None:
        super().__init__()
        self.labels = nn.Linear(d_model, spec.num_labels)

    def forward(self, states: Tensor, keep: Tensor | None, embedding: Tensor) -> Float[Tensor, "batch seq num_labels"]:
        """One score a label and token."""
        labels: Tensor = self.labels(states)
        return labels


@dataclass(frozen=True)
class HeadedEncoder(Buildable["HeadedEncoderModel"]):
    """An encoder and its heads: pretrain with words (and the next sentence), then change the heads and fine-tune.

    Args:
        encoder: the body.
        heads: (name, value) pairs; the names are the keys of the output.
    """

    encoder: Encoder
    heads: tuple[tuple[str, EncoderHead], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.heads]
        require(len(set(names)) == len(names) > 0, f"heads are named {names}; give at least one, each another name")

    @property
    def initialization(self) -> Initialization:  # type: ignore[override]
        """The encoder's."""
        return self.encoder.initialization

    def module(self) -> "HeadedEncoderModel":
        """The module, with the parameters that its constructors leave."""
        return HeadedEncoderModel(self)

    def cost(self, context_length: int | None = None) -> Cost:
        """The sum of its parts."""
        total = self.encoder.cost(context_length)
        for _, head in self.heads:
            total += head.cost(self.encoder.d_model, self.encoder.vocab_size)
        return total


class HeadedEncoderModel(nn.Module):
    """`HeadedEncoder` with its weights."""

    def __init__(self, spec: HeadedEncoder) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = EncoderModel(spec.encoder)
        d_model, vocab_size = spec.encoder.d_model, spec.encoder.vocab_size
        self.heads = nn.ModuleDict({name: head.build(d_model, vocab_size) for name, head in spec.heads})

    def forward(
        self,
        tokens: Int[Tensor, "batch seq"],
        keep: Bool[Tensor, "batch seq"] | None = None,
        segments: Int[Tensor, "batch seq"] | None = None,
    ) -> dict[str, Tensor]:
        """What each head says, by its name; arguments as for `EncoderModel`."""
        states = self.encoder(tokens, keep, segments)
        return {name: head(states, keep, self.encoder.embedding.weight) for name, head in self.heads.items()}

    def take_body(self, other: "HeadedEncoderModel") -> None:
        """Copy the encoder's weights of another model with the same body: the step from pretraining to fine-tuning.

        Raises:
            ArchError: the bodies are not equal.
        """
        if other.spec.encoder != self.spec.encoder:
            raise ArchError("the two models have different encoders, so the weights of one do not fit the other")
        state: Mapping[str, Tensor] = other.encoder.state_dict()
        self.encoder.load_state_dict(state)
