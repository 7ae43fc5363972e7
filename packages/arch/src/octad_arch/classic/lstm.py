"""Long short-term memory: a state that gates write to, forget and show; the language model of 1997 to 2017."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from octad_arch.building import Buildable
from octad_arch.cost import Cost, dense
from octad_arch.errors import require, require_positive
from octad_arch.initialization import Initialization

State = tuple[Float[Tensor, "batch d_hidden"], Float[Tensor, "batch d_hidden"]]
"""What a layer shows (h) and what it keeps (c)."""


class LSTMLayer(nn.Module):
    """i, f, o = sigmoid(W x + U h + b), g = tanh(...); c = f * c + i * g; h = o * tanh(c).

    The products with x are made for all steps at once; only U h waits for the step before.

    Args:
        d_input: width of the input.
        d_hidden: units.
        d_projection: width of what is shown, P (o * tanh(c)) (Sak et al. 2014, arXiv 1402.1128); None shows all.
    Source: Hochreiter and Schmidhuber 1997; the forget gate: Gers, Schmidhuber and Cummins 2000.
    """

    def __init__(self, d_input: int, d_hidden: int, d_projection: int | None = None) -> None:
        super().__init__()
        require_positive(d_input=d_input, d_hidden=d_hidden)
        self.d_hidden, self.d_shown = d_hidden, d_projection or d_hidden
        self.input = nn.Linear(d_input, 4 * d_hidden)  # gates in the order i, f, g, o
        self.recurrent = nn.Linear(self.d_shown, 4 * d_hidden, bias=False)
        self.projection = None if d_projection is None else nn.Linear(d_hidden, d_projection, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_input"],
        state: State | None = None,
        keep: Bool[Tensor, "batch seq"] | None = None,
    ) -> tuple[Float[Tensor, "batch seq d_shown"], State]:
        """What is shown at each step, and the state after the last.

        Args:
            x: the input.
            state: before the first step; None means zeros.
            keep: False leaves the state as it was: padding.
        """
        h, c = (x.new_zeros(len(x), self.d_shown), x.new_zeros(len(x), self.d_hidden)) if state is None else state
        shown: list[Tensor] = []
        for step, gates in enumerate(self.input(x).unbind(1)):
            i, f, g, o = (gates + self.recurrent(h)).chunk(4, -1)
            new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            new_h = torch.sigmoid(o) * torch.tanh(new_c)
            new_h = new_h if self.projection is None else self.projection(new_h)
            if keep is not None:
                is_real = keep[:, step, None]
                new_h, new_c = torch.where(is_real, new_h, h), torch.where(is_real, new_c, c)
            h, c = new_h, new_c
            shown.append(h)
        return torch.stack(shown, 1), (h, c)


@dataclass(frozen=True)
class LSTMLanguageModel(Buildable["LSTMModel"]):
    """Layers of LSTM over embedded tokens, dropout between them, and a head.

    Args:
        vocab_size: token ids.
        d_word: width of an embedded token.
        d_hidden: units of each layer.
        num_layers: depth.
        dropout: share of the units that is dropped between layers while training, never from step to step.
        tied_embeddings: the head reads the embedding's matrix; d_word must be d_hidden.
        initialization: the weights that training starts from.
    Source: Zaremba, Sutskever and Vinyals 2014 (arXiv 1409.2329); tying: Press and Wolf 2016 (arXiv 1608.05859).
    """

    vocab_size: int
    d_word: int
    d_hidden: int
    num_layers: int = 2
    dropout: float = 0.0
    tied_embeddings: bool = False
    initialization: Initialization = field(default=Initialization(0.1))

    def __post_init__(self) -> None:
        require_positive(vocab_size=self.vocab_size, d_word=self.d_word, num_layers=self.num_layers)
        require(0 <= self.dropout < 1, f"dropout={self.dropout} must lie in [0, 1)")
        require(
            not self.tied_embeddings or self.d_word == self.d_hidden,
            f"tied_embeddings needs d_word={self.d_word} to be d_hidden={self.d_hidden}",
        )

    def module(self) -> "LSTMModel":
        """The module, with the parameters that its constructors leave."""
        return LSTMModel(self)

    def cost(self) -> Cost:
        """Of one token."""
        total = Cost(matmul_flops=2 * self.vocab_size * self.d_hidden) + dense(0, self.vocab_size * self.d_word)
        if not self.tied_embeddings:
            total += dense(0, self.vocab_size * self.d_hidden)
        for layer in range(self.num_layers):
            width = self.d_hidden if layer else self.d_word
            total += dense(4 * self.d_hidden * (width + self.d_hidden), 4 * self.d_hidden)
        return total + Cost(state_elements=2 * self.num_layers * self.d_hidden)


class LSTMModel(nn.Module):
    """`LSTMLanguageModel` with its weights."""

    def __init__(self, spec: LSTMLanguageModel) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocab_size, spec.d_word)
        widths = [spec.d_word] + [spec.d_hidden] * (spec.num_layers - 1)
        self.layers = nn.ModuleList(LSTMLayer(width, spec.d_hidden) for width in widths)
        self.head = None if spec.tied_embeddings else nn.Linear(spec.d_hidden, spec.vocab_size, bias=False)

    @property
    def output_weight(self) -> Float[Tensor, "vocab d_hidden"]:
        """The matrix of the head, for `linear_cross_entropy`."""
        return self.embedding.weight if self.head is None else self.head.weight

    def hidden(
        self, tokens: Int[Tensor, "batch seq"], states: list[State] | None = None
    ) -> tuple[Float[Tensor, "batch seq d_hidden"], list[State]]:
        """What the last layer shows at each step, and the states of all layers after the last.

        Args:
            tokens: ids.
            states: of an earlier call, which these tokens continue; detach them to cut the gradient there.
        """
        x, after = self.embedding(tokens), []
        for index, layer in enumerate(self.layers):
            x = F.dropout(x, self.spec.dropout, self.training)
            x, state = layer(x, None if states is None else states[index])
            after.append(state)
        return F.dropout(x, self.spec.dropout, self.training), after

    def forward(
        self, tokens: Int[Tensor, "batch seq"], states: list[State] | None = None
    ) -> tuple[Float[Tensor, "batch seq vocab"], list[State]]:
        """Logits of the next token at every step, and the states; arguments as in `hidden`."""
        hidden, after = self.hidden(tokens, states)
        return F.linear(hidden, self.output_weight), after
