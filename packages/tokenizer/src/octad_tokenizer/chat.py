"""Chat templates: messages to text, and to ids with a mask of what the assistant wrote."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from octad_tokenizer import chat_sandbox
from octad_tokenizer.chat_guard import ContentGuard, strings
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.protocol import AllowedSpecial, Tokenizer
from octad_tokenizer.special import SpecialTokens

CHATML = """\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' %}
{% generation %}
{{- message['content'] + '<|im_end|>' }}
{%- endgeneration %}
{{ '\\n' }}
{%- else %}
{{- message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{% endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
"""`<|im_start|>role`, a line end, the content, `<|im_end|>`, a line end; for each message."""

CHATML_SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>")

_HAS_GENERATION = re.compile(r"\{%-?\+?\s*generation\b")

Message = Mapping[str, Any]


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template that runs in a sandbox.

    Args:
        source: the template, as in Hugging Face's `chat_template`. It sees `messages`, `add_generation_prompt` and
            `variables`; `raise_exception`, `strftime_now`, `tojson` and `{% generation %}` work as there.
        variables: what else the template sees, `bos_token` for instance; trusted, so it may hold special tokens.
        roles: the roles that a message may have.
        special_tokens: what `encode` demands of a tokenizer; for `CHATML` its two.
        max_chars: limit for the messages and for the text.
        timeout_s: limit for one rendering, in seconds of the clock.

    Raises:
        TokenizerError: a limit below 1 (for seconds: not above 0), a source above the limit, or a syntax error in it.
    """

    source: str = CHATML
    variables: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ("system", "developer", "user", "assistant", "tool")
    special_tokens: tuple[str, ...] | None = None
    max_chars: int = 10_000_000
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.max_chars < 1:
            raise TokenizerError(f"max_chars={self.max_chars} is less than 1; it is a limit on characters")
        if not self.timeout_s > 0:
            raise TokenizerError(f"timeout_s={self.timeout_s} is not above 0; it is a limit in seconds")
        if len(self.source) > self.max_chars:
            raise TokenizerError(f"the template has {len(self.source)} characters, above max_chars={self.max_chars}")
        if self.special_tokens is None:
            object.__setattr__(self, "special_tokens", CHATML_SPECIAL_TOKENS if self.source == CHATML else ())
        chat_sandbox.check(self.source)

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False, **variables: Any) -> str:
        """The text of `messages`.

        Args:
            messages: each with a `role` and a `content` (a str, or a list of parts if the template takes it; it may
                be missing beside `tool_calls`).
            add_generation_prompt: end with what comes before an answer of the assistant.
            variables: what else the template sees, `tools` for instance.

        Raises:
            TokenizerError: no messages, an unknown role, no content, a limit passed, or an error in the template.
        """
        self._check(messages)
        return self._render(messages, add_generation_prompt, variables, ("", ""))

    def encode(
        self,
        tokenizer: Tokenizer,
        messages: Sequence[Message],
        add_generation_prompt: bool = False,
        *,
        content_special: AllowedSpecial = "none",
        **variables: Any,
    ) -> tuple[list[int], list[bool]]:
        """The ids of `render(messages)`, and for each whether the assistant wrote it.

        Special tokens are found only where the template writes them; in messages (and in `variables` given here)
        they are plain text. What the assistant wrote is what stands in `{% generation %}`, its end token included;
        a template without the tag is asked for its text before and after each of the assistant's messages.

        Args:
            tokenizer: one whose tokens' bytes join to the text.
            messages: as for `render`.
            add_generation_prompt: as for `render`.
            content_special: special tokens that messages may contain after all, `{"</think>"}` for instance.
            variables: as for `render`.

        Raises:
            TokenizerError: as `render`; the tokenizer lacks a special token or loses text; or the template changes
                special tokens in messages, so that they cannot be kept plain.
        """
        self._check(messages)
        special = SpecialTokens(tokenizer.special_tokens)
        if missing := [name for name in self.special_tokens or () if name not in special.ids]:
            raise TokenizerError(f"the tokenizer lacks the template's special tokens {missing}; add them in training")
        hidden_names = special.ids.keys() - special.allowed(content_special)
        guard = ContentGuard(hidden_names, strings([self.source, dict(self.variables), list(messages), variables]))
        hidden: list[Message] = guard.hide(list(messages))
        hidden_variables = guard.hide(variables)
        text, spans = guard.take_marks(self._render(hidden, add_generation_prompt, hidden_variables, guard.marks))
        if guard.restore(text) != self._render(messages, add_generation_prompt, variables, ("", "")):
            raise TokenizerError(
                "the template treats special tokens in messages as more than text, so they cannot be kept plain; name "
                "them in content_special if you trust the messages"
            )
        if not _HAS_GENERATION.search(self.source):
            spans = self._spans_by_prefix(text, hidden, hidden_variables)
        return _encode_spans(tokenizer, special, guard, text, spans)

    def _render(
        self, messages: Sequence[Message], prompt: bool, variables: Mapping[str, Any], marks: tuple[str, str]
    ) -> str:
        names = {**self.variables, **variables, "messages": messages, "add_generation_prompt": prompt}
        return chat_sandbox.render(self.source, {**names, chat_sandbox.MARKS: marks}, self.max_chars, self.timeout_s)

    def _check(self, messages: Sequence[Message]) -> None:
        if isinstance(messages, (str, Mapping)) or not messages:
            raise TokenizerError(f"messages={messages!r} is not a non-empty sequence of messages; pass [message]")
        for at, message in enumerate(messages):
            if not isinstance(message, Mapping) or "role" not in message:
                raise TokenizerError(f'message {at} has no role; a message is {{"role": ..., "content": ...}}')
            if message["role"] not in self.roles:
                raise TokenizerError(f"message {at} has the role {message['role']!r}; the roles are {list(self.roles)}")
            content = message.get("content")
            if content is None and not message.get("tool_calls"):
                raise TokenizerError(
                    f"message {at} ({message['role']}) has no content; give a str, if only an empty one"
                )
            if content is not None and not isinstance(content, (str, list, tuple)):
                raise TokenizerError(f"message {at} has content of type {type(content).__name__}; give a str")
        if (size := sum(map(len, strings(list(messages))))) > self.max_chars:
            raise TokenizerError(f"the messages have {size} characters, more than max_chars={self.max_chars}")

    def _spans_by_prefix(
        self, text: str, messages: Sequence[Message], variables: Mapping[str, Any]
    ) -> list[tuple[int, int]]:
        """The stretch that each of the assistant's messages adds after the prompt for it."""
        spans = []
        for at, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._render(messages[:at], True, variables, ("", ""))
            whole = self._render(messages[: at + 1], False, variables, ("", ""))
            if not (whole.startswith(prompt) and text.startswith(whole)):
                raise TokenizerError(
                    f"the template writes message {at} differently when more follows, so what the assistant wrote "
                    "cannot be told; put {% generation %} ... {% endgeneration %} around it"
                )
            spans.append((len(prompt), len(whole)))
        return spans


def _encode_spans(
    tokenizer: Tokenizer, special: SpecialTokens, guard: ContentGuard, text: str, spans: Iterable[tuple[int, int]]
) -> tuple[list[int], list[bool]]:
    """Ids of the text, special tokens found before the stand-ins go; and which ids touch a span."""
    ids: list[int] = []
    for piece, special_id in special.split(text, frozenset(special.ids)):
        ids += tokenizer.encode(guard.restore(piece), allowed_special="none") if piece else []
        if special_id is not None:
            ids.append(special_id)
    starts = list(accumulate((len(tokenizer.token_bytes(token_id)) for token_id in ids), initial=0))
    byte_at = list(accumulate((len(character.encode()) for character in guard.restore(text)), initial=0))
    if starts[-1] != byte_at[-1]:
        raise TokenizerError(
            f"the tokens of the chat stand for {starts[-1]} bytes of {byte_at[-1]}: the tokenizer loses text, so the "
            "assistant's tokens cannot be told; use a tokenizer that loses none"
        )
    written = [False] * len(ids)
    for start, stop in spans:
        first = bisect_right(starts, byte_at[start]) - 1
        last = bisect_left(starts, byte_at[stop])
        if start < stop:
            written[first:last] = [True] * (last - first)
    return ids, written
