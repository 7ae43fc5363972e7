"""Bengio's neural language model: the first to learn vectors of words and to predict from them."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from octad_arch.building import Buildable
from octad_arch.cost import Cost, dense
from octad_arch.errors import ArchError, require_positive
from octad_arch.initialization import Initialization


@dataclass(frozen=True)
class Bengio(Buildable["BengioModel"]):
    """Logits y = b + W x + U tanh(d + H x), with x the vectors of the last `context` words one after another.

    Args:
        vocab_size: words.
        context: words that are looked at.
        d_word: width of a word's vector.
        d_hidden: units of the hidden layer.
        is_direct: with the direct connections W from the vectors to the logits.
        initialization: the weights that training starts from.
    Source: Bengio et al. 2003, section 2 (JMLR 3).
    """

    vocab_size: int
    context: int
    d_word: int
    d_hidden: int
    is_direct: bool = False
    initialization: Initialization = field(default=Initialization(0.1))

    def __post_init__(self) -> None:
        require_positive(vocab_size=self.vocab_size, context=self.context)
        require_positive(d_word=self.d_word, d_hidden=self.d_hidden)

    def module(self) -> "BengioModel":
        """The module, with the parameters that its constructors leave."""
        return BengioModel(self)

    def cost(self) -> Cost:
        """Of one prediction."""
        x = self.context * self.d_word
        total = dense(x * self.d_hidden + self.d_hidden * self.vocab_size, self.d_hidden + self.vocab_size)
        total += dense(0, self.vocab_size * self.d_word)
        return total + dense(x * self.vocab_size) if self.is_direct else total


class BengioModel(nn.Module):
    """`Bengio` with its weights."""

    def __init__(self, spec: Bengio) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocab_size, spec.d_word)
        self.hidden = nn.Linear(spec.context * spec.d_word, spec.d_hidden)
        self.output = nn.Linear(spec.d_hidden, spec.vocab_size)
        inputs = spec.context * spec.d_word
        self.direct = nn.Linear(inputs, spec.vocab_size, bias=False) if spec.is_direct else None

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch predicted vocab"]:
        """Logits of the word after each run of `context` words: position i sees tokens[i : i + context].

        Raises:
            ArchError: fewer words than the context.
        """
        if tokens.shape[1] < self.spec.context:
            raise ArchError(f"{tokens.shape[1]} words a row are fewer than the context={self.spec.context}")
        x = self.embedding(tokens.unfold(1, self.spec.context, 1)).flatten(2)
        logits: Tensor = self.output(torch.tanh(self.hidden(x)))
        return logits if self.direct is None else logits + self.direct(x)
