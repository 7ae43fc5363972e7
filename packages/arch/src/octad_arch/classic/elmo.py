"""ELMo: words as mixtures of the layers of two LSTMs, one reading forward and one backward."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from octad_arch.building import Buildable
from octad_arch.classic.lstm import LSTMLayer
from octad_arch.errors import require_positive
from octad_arch.initialization import Initialization
from octad_arch.loss_head import IGNORE_INDEX, linear_cross_entropy


@dataclass(frozen=True)
class CharacterWords:
    """A word from its characters: convolutions of several widths, the maximum over places, highway layers, a map.

    A highway layer is t * relu(W x + b) + (1 - t) * x with t = sigmoid(V x + d).

    Args:
        characters: ids of characters; 0 is padding.
        d_character: width of a character's vector.
        filters: (width, count) of the convolutions.
        num_highway: layers behind them.
        d_word: width of the result.
    Source: Kim et al. 2015 (arXiv 1508.06615); Srivastava, Greff and Schmidhuber 2015 (arXiv 1505.00387).
    """

    characters: int
    d_character: int = 16
    filters: tuple[tuple[int, int], ...] = ((1, 32), (2, 32), (3, 64))
    num_highway: int = 2
    d_word: int = 64

    def build(self) -> "CharacterWordsModule":
        """The module, (batch, seq, letters) -> (batch, seq, d_word)."""
        return CharacterWordsModule(self)


class CharacterWordsModule(nn.Module):
    """`CharacterWords` with its weights."""

    def __init__(self, spec: CharacterWords) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.characters, spec.d_character)
        # A convolution of width w is a map of w neighbouring vectors.
        self.filters = nn.ModuleList(nn.Linear(width * spec.d_character, count) for width, count in spec.filters)
        channels = sum(count for _, count in spec.filters)
        self.highway = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(spec.num_highway))
        self.output = nn.Linear(channels, spec.d_word)

    def forward(self, letters: Int[Tensor, "batch seq letters"]) -> Float[Tensor, "batch seq d_word"]:
        """The vector of each word."""
        widest = max(width for width, _ in self.spec.filters)
        x = self.embedding(F.pad(letters, (0, max(widest - letters.shape[-1], 0))))
        found: list[Tensor] = []
        for (width, _), layer in zip(self.spec.filters, self.filters, strict=True):
            windows = x.unfold(-2, width, 1).transpose(-1, -2).flatten(-2)
            found.append(torch.tanh(layer(windows)).amax(-2))
        y = torch.cat(found, -1)
        for layer in self.highway:
            new, gate = layer(y).chunk(2, -1)
            share = torch.sigmoid(gate)
            y = share * F.relu(new) + (1 - share) * y
        output: Tensor = self.output(y)
        return output


@dataclass(frozen=True)
class ELMo(Buildable["ELMoModel"]):
    """Two stacks of LSTMs with projections over the same words; each predicts the next word in its direction.

    Layers from the second on have a residual connection. The head is shared by the directions.

    Args:
        vocab_size: words that are predicted.
        words: how words are read: `CharacterWords`, or the width of a plain embedding.
        d_hidden: units of each LSTM.
        num_layers: of each direction.
        initialization: the weights that training starts from.
    Source: Peters et al. 2018 (arXiv 1802.05365).
    """

    vocab_size: int
    words: CharacterWords | int = 64
    d_hidden: int = 128
    num_layers: int = 2
    initialization: Initialization = field(default=Initialization(0.1))

    def __post_init__(self) -> None:
        require_positive(vocab_size=self.vocab_size, d_hidden=self.d_hidden, num_layers=self.num_layers)
        require_positive(d_word=self.d_word)

    @property
    def d_word(self) -> int:
        """Width of a word's vector and of what each direction shows."""
        return self.words if isinstance(self.words, int) else self.words.d_word

    def module(self) -> "ELMoModel":
        """The module, with the parameters that its constructors leave."""
        return ELMoModel(self)


class ELMoModel(nn.Module):
    """`ELMo` with its weights."""

    def __init__(self, spec: ELMo) -> None:
        super().__init__()
        self.spec = spec
        self.words: nn.Module = (
            nn.Embedding(spec.vocab_size, spec.d_word) if isinstance(spec.words, int) else spec.words.build()
        )

        def stack() -> nn.ModuleList:
            return nn.ModuleList(LSTMLayer(spec.d_word, spec.d_hidden, spec.d_word) for _ in range(spec.num_layers))

        self.forwards, self.backwards = stack(), stack()
        self.head = nn.Linear(spec.d_word, spec.vocab_size, bias=False)

    def layers(
        self, words: Int[Tensor, "batch seq ..."], keep: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "layers batch seq two_d_word"]:
        """What the word vectors (twice) and each layer show: forward in the first half, backward in the second.

        Args:
            words: ids of words, or of their letters with `CharacterWords`.
            keep: False at padding behind a row.
        """
        embedded = self.words(words)
        ahead, back = embedded, embedded.flip(1)
        turned = None if keep is None else keep.flip(1)
        found = [torch.cat((embedded, embedded), -1)]
        for index, (forward, backward) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            new_ahead, new_back = forward(ahead, None, keep)[0], backward(back, None, turned)[0]
            ahead, back = (new_ahead + ahead, new_back + back) if index else (new_ahead, new_back)
            found.append(torch.cat((ahead, back.flip(1)), -1))
        return torch.stack(found)

    def forward(
        self, words: Int[Tensor, "batch seq ..."], keep: Bool[Tensor, "batch seq"] | None = None
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "batch seq vocab"]]:
        """Logits of the next word from what stands before, and of the word before from what follows."""
        ahead, back = self.layers(words, keep)[-1].chunk(2, -1)
        return self.head(ahead), self.head(back)

    def loss(
        self,
        words: Int[Tensor, "batch seq ..."],
        targets: Int[Tensor, "batch seq"],
        keep: Bool[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over both directions of -log p; `targets` are the ids of the words themselves."""
        if keep is not None:
            targets = targets.masked_fill(~keep, IGNORE_INDEX)
        ahead, back = self.layers(words, keep)[-1].chunk(2, -1)
        weight = self.head.weight
        forward = linear_cross_entropy(ahead[:, :-1], weight, targets[:, 1:])
        return (forward + linear_cross_entropy(back[:, 1:], weight, targets[:, :-1])) / 2


class LayerMixture(nn.Module):
    """gamma * Σ_j softmax(s)_j h_j: what a task reads of a frozen or fine-tuned `ELMoModel`.

    Args:
        num_layers: of the LSTMs; the word vectors are one more.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(num_layers + 1))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, layers: Float[Tensor, "layers batch seq d"]) -> Float[Tensor, "batch seq d"]:
        """The mixture."""
        mixed: Tensor = self.gamma * torch.tensordot(self.scores.softmax(0), layers, 1)
        return mixed


class ELMoTagger(nn.Module):
    """A label for each word, from the mixture of the layers.

    Args:
        elmo: pretrained; trained along.
        num_labels: classes.
    """

    def __init__(self, elmo: ELMoModel, num_labels: int) -> None:
        super().__init__()
        require_positive(num_labels=num_labels)
        self.elmo, self.mixture = elmo, LayerMixture(elmo.spec.num_layers)
        self.labels = nn.Linear(2 * elmo.spec.d_word, num_labels)

    def forward(
        self, words: Int[Tensor, "batch seq ..."], keep: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq num_labels"]:
        """One score a label and word."""
        labels: Tensor = self.labels(self.mixture(self.elmo.layers(words, keep)))
        return labels
