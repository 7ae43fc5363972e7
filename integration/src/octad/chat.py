"""A conversation with a model: what it sees, what it says, and what it no longer sees when its context is full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from octad_infer import Sampling, stream

from octad.errors import OctadError, require
from octad.text_model import TextModel

END_OF_THOUGHT = "</think>"


@dataclass(frozen=True)
class ChatSettings:
    """How answers are drawn: temperature 0 takes the most likely token; one seed and one conversation, one answer."""

    temperature: float = 0.0
    max_new_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        # below 1e-3 nothing but rounding differs from 0
        is_fit = self.temperature == 0 or 1e-3 <= self.temperature <= 100
        require(is_fit, "temperature", self.temperature, "0 (the most likely token) or within 0.001 .. 100")
        require(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "1 or more")
        require(0 <= self.seed < 2**63, "seed", self.seed, "0 or more and below 2**63")


@dataclass
class Answer:
    """What is known of an answer while it comes and afterwards.

    Attributes:
        text: said so far.
        num_tokens: of it, the one that ended it included.
        seconds: from the question to the last token.
        is_finished: the model ended it; otherwise it was stopped, or reached the limit.
    """

    text: str = ""
    num_tokens: int = 0
    seconds: float = 0.0
    is_finished: bool = False


@dataclass
class Conversation:
    """Turns of a person and a model, as plain text.

    Attributes:
        text_model: who answers; may be changed between turns.
        settings: how; likewise.
        system: what the model is told before the first turn; empty for nothing.
        messages: all turns in order, a user's and an assistant's each.
        num_dropped: messages at the beginning that the model no longer sees.
        last: the newest answer.
    """

    text_model: TextModel
    settings: ChatSettings = ChatSettings()
    system: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)
    num_dropped: int = 0
    last: Answer = field(default_factory=Answer)

    def reset(self) -> None:
        """Forget every turn; the system message stays."""
        self.messages, self.num_dropped, self.last = [], 0, Answer()

    def set_temperature(self, temperature: float) -> None:
        """From the next answer on."""
        self.settings = replace(self.settings, temperature=temperature)

    def transcript(self) -> list[dict[str, str]]:
        """All that was said, the system message first."""
        return [*self._opening(), *self.messages]

    def ask(self, text: str) -> Iterator[str]:
        """Pieces of the answer as they come, never half a character.

        The turn is kept once the iterator ends or is left: an answer that was stopped is kept as far as it came.

        Raises:
            OctadError: the message alone does not fit the model's context; nothing is kept then.
        """
        num_dropped, prompt = self._fitted([*self.messages, {"role": "user", "content": text}])
        self.num_dropped = num_dropped
        self.last = Answer()
        tokens = stream(
            self.text_model.model,
            prompt,
            max_new_tokens=min(self.settings.max_new_tokens, self.text_model.context - len(prompt)),
            sampling=Sampling(temperature=self.settings.temperature),
            stop_ids=self.text_model.stop_ids,
            max_len=self.text_model.context,
            seed=(self.settings.seed * 1_000_003 + len(self.messages)) % 2**64,
        )
        return self._said(text, tokens)

    def _said(self, question: str, tokens: Iterator[int]) -> Iterator[str]:
        answer, start = self.last, time.monotonic()
        try:
            for piece in self.text_model.tokenizer.decode_stream(self._counted(tokens, answer)):
                answer.text += piece
                answer.seconds = time.monotonic() - start
                yield piece
        finally:
            answer.seconds = time.monotonic() - start
            self.messages.append({"role": "user", "content": question})
            self.messages.append({"role": "assistant", "content": answer.text})

    def _counted(self, tokens: Iterator[int], answer: Answer) -> Iterator[int]:
        """The tokens that say something."""
        for token in tokens:
            answer.num_tokens += 1
            if token in self.text_model.stop_ids:
                answer.is_finished = True
                return
            yield token

    def _fitted(self, messages: list[dict[str, str]]) -> tuple[int, list[int]]:
        """How many of the oldest messages go, and the prompt of the rest, which leaves room for an answer."""
        context = self.text_model.context
        room = min(self.settings.max_new_tokens, context // 2)
        messages = [{**message, "content": _without_thoughts(message)} for message in messages]
        for dropped in range(self.num_dropped, len(messages), 2):  # whole turns
            prompt = self.text_model.prompt([*self._opening(), *messages[dropped:]])
            if len(prompt) + room <= context:
                return dropped, prompt
        raise OctadError(
            f"that takes {len(prompt)} tokens, and the model's context of {context} must hold {room} for the answer "
            "too; say it shorter"
        )

    def _opening(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}] if self.system else []


def _without_thoughts(message: dict[str, str]) -> str:
    """Models that think aloud were trained without the thoughts of earlier turns; their templates take them out too."""
    _, mark, said = message["content"].rpartition(END_OF_THOUGHT)
    return said.lstrip("\n") if mark and message["role"] == "assistant" else message["content"]
