"""Encoder and decoder together: text to text."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .building import Buildable
from .cache import AttentionCache
from .cost import Cost
from .decoder import Decoder, DecoderModel
from .encoder import Encoder, EncoderModel
from .errors import require, require_positive
from .initialization import Initialization
from .memory import Memory
from .past import DynamicCache


@dataclass(frozen=True)
class EncoderDecoder(Buildable["EncoderDecoderModel"]):
    """A decoder that reads an encoder's states through the `cross` mixer of its layers.

    Args:
        encoder: of the input.
        decoder: of the output; its layers have `cross=CrossAttention(...)`.
        shares_embedding: input and output tokens have one embedding.
    Source: Vaswani et al. 2017 (arXiv 1706.03762); Raffel et al. 2019 (T5, arXiv 1910.10683).
    """

    encoder: Encoder
    decoder: Decoder
    shares_embedding: bool = True

    def __post_init__(self) -> None:
        ours, theirs = self.encoder, self.decoder
        require(
            ours.d_model == theirs.d_model,
            f"the encoder is {ours.d_model} wide, the decoder {theirs.d_model}; cross-attention needs the same width",
        )
        require(
            not self.shares_embedding or ours.vocab_size == theirs.vocab_size,
            f"vocabularies of {ours.vocab_size} and {theirs.vocab_size} tokens cannot share an embedding",
        )

    @property
    def initialization(self) -> Initialization:  # type: ignore[override]
        """The decoder's."""
        return self.decoder.initialization

    @property
    def tied_embeddings(self) -> bool:
        """Whether the head is the decoder's embedding."""
        return self.decoder.tied_embeddings

    def module(self) -> "EncoderDecoderModel":
        """The module, with the parameters that its constructors leave."""
        return EncoderDecoderModel(self)

    def cost(self, input_length: int | None = None, output_length: int | None = None) -> Cost:
        """Of one input token and one output token together, whose parts see so many of each."""
        total = self.encoder.cost(input_length) + self.decoder.cost(output_length)
        shared = self.encoder.vocab_size * self.encoder.d_model if self.shares_embedding else 0
        return total + Cost(-shared, -shared)


class EncoderDecoderModel(nn.Module):
    """`EncoderDecoder` with its weights."""

    def __init__(self, spec: EncoderDecoder) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = EncoderModel(spec.encoder)
        self.decoder = DecoderModel(spec.decoder)
        if spec.shares_embedding:
            self.decoder.embedding = self.encoder.embedding

    def encode(self, source: Int[Tensor, "batch length"], keep: Bool[Tensor, "batch length"] | None = None) -> Memory:
        """What the decoder reads; compute it once an input."""
        return Memory(self.encoder(source, keep), keep)

    def hidden(
        self,
        source: Int[Tensor, "batch length"],
        target: Int[Tensor, "batch seq"],
        keep: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The states that the head reads, for `linear_cross_entropy(..., model.decoder.output_weight, ...)`."""
        return self.decoder.hidden(target, memory=self.encode(source, keep))

    def forward(
        self,
        source: Int[Tensor, "batch length"],
        target: Int[Tensor, "batch seq"],
        keep: Bool[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits of the token after each of the target, which begins with the start token (teacher forcing).

        Args:
            source: input ids.
            target: output ids so far; padding belongs on the right.
            keep: False marks padding of the input.
        """
        return self.decoder.logits_at(self.hidden(source, target, keep))

    @torch.inference_mode()
    def generate(
        self,
        source: Int[Tensor, "batch length"],
        start: int,
        stop: int,
        max_tokens: int = 128,
        keep: Bool[Tensor, "batch length"] | None = None,
        cache: AttentionCache | None = None,
    ) -> Int[Tensor, "batch seq"]:
        """The likeliest token at each step, until every row has met `stop` or `max_tokens` are out.

        Args:
            source: input ids.
            start: the token that the output begins with; not returned.
            stop: the token that ends a row, and fills it up behind its end.
            max_tokens: most steps.
            keep: False marks padding of the input.
            cache: keeper of the past; None means a fresh `DynamicCache`.
        """
        require_positive(max_tokens=max_tokens)
        memory, cache = self.encode(source, keep), cache or DynamicCache()
        token = torch.full((len(source), 1), start, device=source.device)
        done = torch.zeros_like(token, dtype=torch.bool)
        output: list[Tensor] = []
        while len(output) < max_tokens and not bool(done.all()):
            position = torch.full_like(token, len(output))
            token = self.decoder(token, position, cache, memory)[:, -1:].argmax(-1)
            token = token.masked_fill(done, stop)
            done |= token == stop
            output.append(token)
        return torch.cat(output, 1)
