"""Jinja for chat templates: sandboxed, bounded, with the names and tags that Hugging Face's templates expect."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from octad_tokenizer.errors import TokenizerError

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

MARKS = "_generation_marks"
"""The variable with the two strings to put around what `{% generation %}` encloses."""


def render(source: str, variables: Mapping[str, Any], max_chars: int) -> str:
    """The template's text.

    Raises:
        TokenizerError: the template is wrong, refuses its messages, leaves the sandbox or writes too much.
    """
    template = _compiled(source, max_chars)
    parts, size = [], 0
    try:
        for part in template(**variables):
            size += len(part)
            if size > max_chars:
                break
            parts.append(part)
    except Exception as error:  # a template is a program of its own: whatever it raises is its error
        raise TokenizerError(f"the chat template failed: {type(error).__name__}: {error}") from error
    if size > max_chars:
        raise TokenizerError(
            f"the chat template wrote more than max_chars={max_chars}; raise it or shorten the messages"
        )
    return "".join(parts)


def check(source: str, max_chars: int) -> None:
    """Compile the template.

    Raises:
        TokenizerError: a syntax error.
    """
    _compiled(source, max_chars)


@functools.lru_cache(maxsize=64)
def _compiled(source: str, max_chars: int) -> Callable[..., Any]:
    import jinja2

    try:
        return _environment(max_chars).from_string(source).generate
    except jinja2.TemplateSyntaxError as error:
        raise TokenizerError(f"the chat template is wrong in line {error.lineno}: {error.message}") from error


def _environment(max_chars: int) -> ImmutableSandboxedEnvironment:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %} what the assistant wrote {% endgeneration %}`."""

        tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            call = self.call_method("_mark", [nodes.ContextReference()])
            return nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _mark(self, context: Context, caller: Callable[[], str]) -> str:
            before, after = context.get(MARKS, ("", ""))
            return f"{before}{caller()}{after}"

    class Sandbox(ImmutableSandboxedEnvironment):
        """Also keeps `"a" * 10**9` and `9 ** 9 ** 9` from filling the memory."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" or _repeated_size(left, right) > max_chars:
                raise TemplateError(f"{operator} with such operands is not allowed in a chat template")
            return super().call_binop(context, operator, left, right)

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    environment = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = time.strftime
    return environment


def _repeated_size(left: Any, right: Any) -> int:
    """The length of `left * right` where one is a sequence and the other a number, else 0."""
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, (str, bytes, list, tuple)) and isinstance(times, int):
            return len(sequence) * times
    return 0


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is, where Jinja's own filter would escape it for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
