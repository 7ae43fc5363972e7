"""How a conversation is written in tokens, and the files by which Hugging Face reads it the same way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from octad_systems import write_atomically
from octad_tokenizer import CHATML, BytePairTokenizer, ChatTemplate

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, START, END)


def write_chat_files(folder: Path) -> None:
    """Write the template and the tokenizer's configuration beside `tokenizer.json`."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
    }
    write_atomically(folder / "chat_template.jinja", CHATML)
    write_atomically(folder / "tokenizer_config.json", json.dumps(settings, indent=1))


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer with its chat template and the ids that end things."""

    tokenizer: BytePairTokenizer
    template: ChatTemplate

    @classmethod
    def load(cls, folder: Path) -> ChatTokenizer:
        """Read `tokenizer.json` and `chat_template.jinja`."""
        template = ChatTemplate((folder / "chat_template.jinja").read_text(encoding="utf-8"))
        return cls(BytePairTokenizer.load(folder / "tokenizer.json"), template)

    @property
    def end_of_text(self) -> int:
        """The id between documents."""
        return self.tokenizer.special_tokens[END_OF_TEXT]

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids that end an answer."""
        return (self.tokenizer.special_tokens[END], self.end_of_text)

    def prompt(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """The conversation so far, and the opening of the assistant's turn."""
        return self.template.encode(self.tokenizer, messages, add_generation_prompt=True)[0]

    def instruction(self, text: str) -> list[int]:
        """A conversation of one user message, ready to be answered."""
        return self.prompt([{"role": "user", "content": text}])

    def answered(self, prompt: str, answer: str) -> tuple[list[int], list[bool]]:
        """A whole exchange, and which of its tokens the assistant wrote."""
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        ids, mask = self.template.encode(self.tokenizer, messages)
        return ids, [bool(flag) for flag in mask]

    def text(self, ids: Sequence[int]) -> str:
        """What an answer says, without the tokens that end it."""
        return self.tokenizer.decode([i for i in ids if i not in self.stop_ids])
