"""The decoder that a recipe describes, and a folder of weights, tokenizer and template in the Hugging Face layout."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from octad_arch import Decoder, DecoderModel, load_pretrained, qwen3_decoder, save_pretrained

from octad.chat_format import ChatTokenizer
from octad.recipe import ModelRecipe

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def decoder(recipe: ModelRecipe, size: tuple[int, int], vocab_size: int) -> Decoder:
    """The specification of one candidate size [d_model, layers]."""
    d_model, num_layers = size
    num_heads = d_model // recipe.d_head
    return qwen3_decoder(
        vocab_size,
        d_model,
        num_layers,
        num_heads,
        num_heads // recipe.queries_per_key,
        recipe.d_head,
        theta=10_000.0,
        context_length=recipe.context,
    )


@dataclass(frozen=True)
class ChatModel:
    """A model and the tokenizer it speaks through."""

    model: DecoderModel
    chat: ChatTokenizer

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return self.model.spec.context_length

    @classmethod
    def of(cls, model: DecoderModel, tokenizer_folder: Path) -> ChatModel:
        """A model that was just trained, with the run's tokenizer."""
        return cls(model, ChatTokenizer.load(tokenizer_folder))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> ChatModel:
        """Read what `save` wrote."""
        model = load_pretrained(folder, device=device)
        return cls(model.eval(), ChatTokenizer.load(folder))

    def save(self, folder: Path, tokenizer_folder: Path) -> None:
        """Write the weights, and the tokenizer's files beside them; transformers loads the folder as it is."""
        save_pretrained(self.model, folder)
        for name in TOKENIZER_FILES:
            shutil.copyfile(tokenizer_folder / name, folder / name)
