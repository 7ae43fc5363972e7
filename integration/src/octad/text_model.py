"""A decoder that reads and writes text: from a run, or from any Hugging Face folder of a supported family."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from octad_arch import DecoderModel, load_pretrained
from octad_tokenizer import CHATML, BytePairTokenizer, ChatTemplate

from octad.chat_format import END_OF_TEXT
from octad.errors import OctadError
from octad.model import ChatModel

NormalForm = Literal["NFC", "NFD", "NFKC", "NFKD"]
Message = Mapping[str, str]


@dataclass(frozen=True)
class TextModel:
    """A model with what is needed to talk to it.

    Attributes:
        model: the decoder, in evaluation mode.
        tokenizer: text to ids and back.
        template: how a conversation is written; None for a model that was never taught one.
        prefix_id: stands before a text: the begin-of-text token, or what ended the document before it in training.
        stop_ids: tokens that end an answer.
        has_prefix: every text that is encoded begins with `prefix_id` (Llama's tokenizers do so).
        normal_form: Unicode normal form that texts are brought to first, as Qwen's tokenizers ask.
        name: for people and for cache keys.
    """

    model: DecoderModel
    tokenizer: BytePairTokenizer
    template: ChatTemplate | None
    prefix_id: int
    stop_ids: tuple[int, ...]
    has_prefix: bool = False
    normal_form: NormalForm | None = None
    name: str = "octad"

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return self.model.spec.context_length

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.model.embedding.weight.device

    @classmethod
    def of(cls, chat_model: ChatModel) -> TextModel:
        """A model of a run, with the run's tokenizer and template."""
        chat = chat_model.chat
        return cls(chat_model.model, chat.tokenizer, chat.template, chat.end_of_text, chat.stop_ids)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> TextModel:
        """Read `config.json`, the weights, `tokenizer.json` and, where it is there, the chat template.

        Raises:
            OctadError: a part is missing, or says what this package cannot follow.
            ArchError, TokenizerError: the weights or the tokenizer cannot be read.
        """
        for name in ("config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise OctadError(f"{folder} has no {name}; a model folder holds config.json, weights, tokenizer.json")
        settings = _Settings.read(folder)
        tokenizer = BytePairTokenizer.load(folder / "tokenizer.json", ignore=["normalizer", "post_processor"])
        # a CPU without bfloat16 instructions takes 18 times as long in it
        dtype = torch.float32 if torch.device(device).type == "cpu" else None
        model = load_pretrained(folder, device=device, dtype=dtype)
        if tokenizer.vocab_size > model.spec.vocab_size:
            raise OctadError(
                f"{folder}: the tokenizer has {tokenizer.vocab_size} ids, the model {model.spec.vocab_size}; "
                "the two are not of one model"
            )
        return cls(model.eval(), tokenizer, *settings.found(tokenizer), name=str(folder))

    def encode(self, text: str, *, is_plain: bool = False) -> list[int]:
        """The ids of a text; the names of special tokens in it are those tokens unless it `is_plain`."""
        normal = unicodedata.normalize(self.normal_form, text) if self.normal_form else text
        ids = self.tokenizer.encode(normal, allowed_special="none" if is_plain else "all")
        return [self.prefix_id, *ids] if self.has_prefix and ids[:1] != [self.prefix_id] else ids

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """A conversation and the opening of the assistant's turn; what people wrote in it is plain text.

        Raises:
            OctadError: the model has no chat template.
        """
        if self.template is None:
            raise OctadError(f"{self.name} has no chat template: it continues text, but was not taught to answer")
        form = self.normal_form
        plain = [{k: unicodedata.normalize(form, v) if form else v for k, v in message.items()} for message in messages]
        return self.template.encode(self.tokenizer, plain, add_generation_prompt=True)[0]


@dataclass(frozen=True)
class _Settings:
    """The files around the weights, as far as they decide how text is read."""

    folder: Path
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> _Settings:
        names = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json")
        return cls(folder, *(_read_json(folder / name) for name in names))

    def found(
        self, tokenizer: BytePairTokenizer
    ) -> tuple[ChatTemplate | None, int, tuple[int, ...], bool, NormalForm | None]:
        """Template, prefix id, stop ids, whether texts begin with the prefix, and the normal form."""
        special: dict[str | None, int] = dict(tokenizer.special_tokens.items())
        begin = _added_before(self.tokenizer.get("post_processor"), self.folder)
        names = {key: _token_name(self.config.get(key)) for key in ("bos_token", "eos_token")}
        stops = [special[name] for name in (names["eos_token"], END_OF_TEXT) if name in special]
        for source in (self.generation, self.model):
            ids = source.get("eos_token_id")
            stops += [ids] if isinstance(ids, int) else list(ids or [])
        # before a text stands the begin-of-text token, or the token between documents, or whatever ends things
        candidates = [special[n] for n in (begin, names["bos_token"], END_OF_TEXT) if n in special] + stops
        if not candidates:
            raise OctadError(f"{self.folder} names no token that ends a text; give tokenizer_config.json an eos_token")
        template = self._template({key: name for key, name in names.items() if name})
        form = _normal_form(self.tokenizer.get("normalizer"), self.folder)
        return template, candidates[0], tuple(dict.fromkeys(stops)), begin in special, form

    def _template(self, variables: Mapping[str, str]) -> ChatTemplate | None:
        file = self.folder / "chat_template.jinja"
        if file.is_file():
            source = file.read_text(encoding="utf-8")
        else:
            stored = self.config.get("chat_template")
            if isinstance(stored, list):  # named templates
                stored = next((one["template"] for one in stored if one.get("name") == "default"), None)
            if stored is None:
                return None
            source = str(stored)
        return ChatTemplate(source, variables={} if source == CHATML else variables)


def _read_json(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OctadError(f"{file} is torn or not JSON ({error}); restore it") from error
    if not isinstance(found, dict):
        raise OctadError(f"{file} holds {type(found).__name__}, not an object; restore it")
    return found


def _token_name(token: object) -> str | None:
    """A token in tokenizer_config.json is its name, or an object with it."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _added_before(step: Mapping[str, Any] | None, folder: Path) -> str | None:
    """The special token that a post-processor puts before a text, if any; other additions are refused."""
    if step is None or step["type"] == "ByteLevel":
        return None
    if step["type"] == "Sequence":
        found = [_added_before(one, folder) for one in step["processors"]]
        return next((name for name in found if name), None)
    if step["type"] == "TemplateProcessing":
        parts = [next(iter(part.items())) for part in step["single"]]
        kinds = [kind for kind, _ in parts]
        if kinds == ["Sequence"]:
            return None
        if kinds == ["SpecialToken", "Sequence"]:
            return str(parts[0][1]["id"])
    raise OctadError(
        f"{folder}: tokenizer.json has the post-processor {step['type']}, which adds more than one token before a "
        "text; its ids would differ from ours"
    )


def _normal_form(step: Mapping[str, Any] | None, folder: Path) -> NormalForm | None:
    if step is None:
        return None
    kind = step["type"]
    if kind == "NFC" or kind == "NFD" or kind == "NFKC" or kind == "NFKD":
        return kind  # type: ignore[no-any-return]
    raise OctadError(f"{folder}: tokenizer.json has the normalizer {kind}; NFC, NFD, NFKC and NFKD can be followed")
