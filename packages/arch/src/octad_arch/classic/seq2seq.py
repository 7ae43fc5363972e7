"""Sequence to sequence by LSTMs: one vector between encoder and decoder, and then attention instead of it."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from octad_arch.building import Buildable
from octad_arch.classic.beam import Hypothesis, beam_search
from octad_arch.classic.lstm import LSTMLayer, State
from octad_arch.errors import ArchError, require, require_positive
from octad_arch.initialization import Initialization
from octad_arch.loss_head import IGNORE_INDEX, linear_cross_entropy

Score = Literal["additive", "dot", "general", "concat"]


@dataclass(frozen=True)
class Seq2Seq(Buildable["Seq2SeqModel"]):
    """The encoder's last state starts the decoder; with attention the decoder also sees all the encoder has shown.

    Scores of decoder state s and encoder state h, softmax over the input, context = their weighted sum:

        additive  v · tanh(W s + U h)   s is the state before the step (Bahdanau), the context is an input of it
        dot       s · h                 s is the state after it (Luong), tanh(W [context ; s]) is what the head reads
        general   s · W h               likewise
        concat    v · tanh(W [s ; h])   likewise

    Args:
        source_vocab: ids of the input.
        target_vocab: ids of the output.
        d_word: width of an embedded token.
        d_hidden: units of encoder and decoder, one layer each.
        attention: which score; None for the single vector of Sutskever.
        reverses_source: read the input backwards, so that its beginning is near the output's.
        input_feeding: what the head read is an input of the next step (Luong, section 3.3).
        initialization: the weights that training starts from.
    Source: Sutskever, Vinyals and Le 2014 (arXiv 1409.3215); Bahdanau, Cho and Bengio 2014 (arXiv 1409.0473); Luong,
    Pham and Manning 2015 (arXiv 1508.04025).
    """

    source_vocab: int
    target_vocab: int
    d_word: int
    d_hidden: int
    attention: Score | None = None
    reverses_source: bool = False
    input_feeding: bool = False
    initialization: Initialization = field(default=Initialization(0.1))

    def __post_init__(self) -> None:
        require_positive(source_vocab=self.source_vocab, target_vocab=self.target_vocab)
        require_positive(d_word=self.d_word, d_hidden=self.d_hidden)
        known = (None, "additive", "dot", "general", "concat")
        require(self.attention in known, f"attention={self.attention!r}; use one of {known}")
        require(not self.input_feeding or self.is_after, "input_feeding needs attention after the step (Luong's)")

    @property
    def is_after(self) -> bool:
        """Whether the attention is computed from the state after the step."""
        return self.attention in ("dot", "general", "concat")

    def module(self) -> "Seq2SeqModel":
        """The module, with the parameters that its constructors leave."""
        return Seq2SeqModel(self)


class Decoding(NamedTuple):
    """Between two steps: what the decoder keeps, what the head read last, and what the encoder has shown."""

    state: State
    read: Tensor
    shown: Tensor
    keep: Tensor

    def select(self, rows: Int[Tensor, "kept"]) -> "Decoding":
        """These rows in this order."""
        h, c = self.state
        return Decoding((h[rows], c[rows]), self.read[rows], self.shown[rows], self.keep[rows])


class Seq2SeqModel(nn.Module):
    """`Seq2Seq` with its weights."""

    def __init__(self, spec: Seq2Seq) -> None:
        super().__init__()
        self.spec = spec
        width, fed = spec.d_hidden, spec.d_hidden * (spec.input_feeding or spec.attention == "additive")
        self.source = nn.Embedding(spec.source_vocab, spec.d_word)
        self.target = nn.Embedding(spec.target_vocab, spec.d_word)
        self.encoder = LSTMLayer(spec.d_word, width)
        self.decoder = LSTMLayer(spec.d_word + fed, width)
        inputs = {"additive": 2 * width, "concat": 2 * width, "general": width}.get(spec.attention or "", 0)
        self.align = nn.Linear(inputs, width, bias=False) if inputs else None
        self.score = nn.Linear(width, 1, bias=False) if inputs == 2 * width else None
        self.combine = nn.Linear(2 * width, width, bias=False) if spec.is_after else None
        self.head = nn.Linear(width, spec.target_vocab, bias=False)

    def encode(self, source: Int[Tensor, "batch length"], keep: Bool[Tensor, "batch length"] | None = None) -> Decoding:
        """What the decoder starts from; `keep` is False at padding, which stands behind each row."""
        keep = torch.ones_like(source, dtype=torch.bool) if keep is None else keep
        if bool((keep[:, 1:] & ~keep[:, :-1]).any()):
            raise ArchError("keep has padding before a token; put it behind each row")
        if self.spec.reverses_source:  # padding goes to the front, where the state stays what it was: zeros
            source, keep = source.flip(1), keep.flip(1)
        shown, state = self.encoder(self.source(source), None, keep)
        return Decoding(state, torch.zeros_like(state[0]), shown, keep)

    def weights(self, query: Float[Tensor, "batch d"], at: Decoding) -> Float[Tensor, "batch length"]:
        """How much each input token is looked at; the padding not at all."""
        keys, name = at.shown, self.spec.attention
        if name == "dot" or (name == "general" and self.align is not None):
            keys = keys if self.align is None else self.align(keys)
            scores = (keys @ query[..., None]).squeeze(-1)
        else:
            assert self.align is not None and self.score is not None
            both = torch.cat((query[:, None].expand_as(keys), keys), -1)
            scores = self.score(torch.tanh(self.align(both))).squeeze(-1)
        return scores.masked_fill(~at.keep, -torch.inf).softmax(-1)

    def step(self, tokens: Int[Tensor, "batch"], at: Decoding) -> tuple[Float[Tensor, "batch d_hidden"], Decoding]:
        """What the head reads after one more output token, and where the decoder stands then."""
        x = self.target(tokens)
        if self.spec.attention == "additive":
            context = (self.weights(at.state[0], at)[:, None] @ at.shown).squeeze(1)
            x = torch.cat((x, context), -1)
        elif self.spec.input_feeding:
            x = torch.cat((x, at.read), -1)
        _, state = self.decoder(x[:, None], at.state)
        read = state[0]
        if self.combine is not None:
            context = (self.weights(read, at)[:, None] @ at.shown).squeeze(1)
            read = torch.tanh(self.combine(torch.cat((context, read), -1)))
        return read, at._replace(state=state, read=read)

    def forward(
        self,
        source: Int[Tensor, "batch length"],
        target: Int[Tensor, "batch seq"],
        keep: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits of the token after each of the target, which begins with the start token (teacher forcing)."""
        logits: Tensor = self.head(self._read(source, target, keep))
        return logits

    def _read(self, source: Tensor, target: Tensor, keep: Tensor | None) -> Tensor:
        at, reads = self.encode(source, keep), []
        for tokens in target.unbind(1):
            read, at = self.step(tokens, at)
            reads.append(read)
        return torch.stack(reads, 1)

    def loss(
        self,
        source: Int[Tensor, "batch length"],
        target: Int[Tensor, "batch seq"],
        keep: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean of -log p of every token of the target but the first; -100 is padding behind a row."""
        read = self._read(source, target[:, :-1].masked_fill(target[:, :-1] == IGNORE_INDEX, 0), keep)
        return linear_cross_entropy(read, self.head.weight, target[:, 1:])

    @torch.inference_mode()
    def translate(
        self,
        source: Int[Tensor, "length"],
        start: int,
        stop: int,
        width: int = 4,
        max_tokens: int = 50,
        alpha: float = 0.6,
    ) -> list[Hypothesis]:
        """The best outputs for one input, by beam search."""
        return beam_search(
            lambda tokens, at: self._log_probs(tokens.to(source.device), at),
            self.encode(source[None]),
            lambda at, rows: at.select(rows.to(source.device)),
            start,
            stop,
            width,
            max_tokens,
            alpha,
            width,
        )

    def _log_probs(self, tokens: Tensor, at: Decoding) -> tuple[Tensor, Decoding]:
        read, at = self.step(tokens, at)
        return F.log_softmax(self.head(read), -1), at
