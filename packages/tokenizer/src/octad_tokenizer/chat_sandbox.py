"""Jinja for chat templates: sandboxed, bounded, with the names and tags that Hugging Face's templates expect."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from octad_tokenizer import chat_limits
from octad_tokenizer.errors import TokenizerError

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

MARKS = "_generation_marks"
"""The variable with the two strings to put around what `{% generation %}` encloses."""


def render(source: str, variables: Mapping[str, Any], max_chars: int, timeout_s: float) -> str:
    """The template's text.

    Raises:
        TokenizerError: the template is wrong, refuses its messages, leaves the sandbox, writes too much or takes too
            long.
    """
    template = _compiled(source)
    try:
        return chat_limits.run_with(chat_limits.Budget(max_chars, timeout_s), lambda: template(**variables))
    except chat_limits.LimitError as error:
        raise TokenizerError(f"the chat template failed at its limits: {error}") from error
    except Exception as error:  # a template is a program of its own: whatever it raises is its error
        raise TokenizerError(f"the chat template failed: {type(error).__name__}: {error}") from error


def check(source: str) -> None:
    """Compile the template.

    Raises:
        TokenizerError: a syntax error, or a template nested too deeply.
    """
    _compiled(source)


@functools.lru_cache(maxsize=64)
def _compiled(source: str) -> Callable[..., Any]:
    import jinja2

    try:
        return _environment().from_string(source).generate
    except jinja2.TemplateSyntaxError as error:
        raise TokenizerError(f"the chat template is wrong in line {error.lineno}: {error.message}") from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise TokenizerError(f"the chat template is nested too deeply ({type(error).__name__})") from error
    except Exception as error:
        raise TokenizerError(f"the chat template is wrong: {type(error).__name__}: {error}") from error


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
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
        """Every loop, call, filter and growing operator goes through `chat_limits`."""

        intercepted_binops = frozenset({"+", "*", "**", "%"})
        counted_loop = staticmethod(chat_limits.counted_loop)
        joined = staticmethod(chat_limits.joined)
        weighed = staticmethod(chat_limits.weighed)

        def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
            return _bounded(super()._parse(source, name, filename))

        def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
            chat_limits.check_operator(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
            args = chat_limits.checked_call(obj, args, kwargs)
            return super().call(context, obj, *args, **kwargs)

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    environment = Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, loopcontrols],
        finalize=chat_limits.written,
        optimized=False,  # constants would be computed while compiling, before any limit holds
    )
    kept = (name for name in environment.filters if name not in chat_limits.REMOVED_FILTERS)
    filters = {name: environment.filters[name] for name in kept} | {"tojson": _to_json}
    environment.filters = {name: chat_limits.guarded_filter(name, run) for name, run in filters.items()}
    environment.globals.pop("lipsum")
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = time.strftime
    return environment


def _bounded(template: nodes.Template) -> nodes.Template:
    """The same program, with each loop, `~` and container literal handed to `chat_limits` first."""
    from jinja2 import nodes

    for loop in list(template.find_all(nodes.For)):
        size = sum(len(data.data) for data in _inside(loop.body, nodes.TemplateData))
        loop.iter = _asked("counted_loop", [loop.iter, nodes.Const(size)])
    _replace_children(template)
    return template


def _inside(body: Iterable[nodes.Node], kind: type[Any]) -> Iterable[Any]:
    for node in body:
        yield from node.find_all(kind)


def _replace_children(node: nodes.Node) -> None:
    """Wrap `~` and literals, from the leaves up; what is assigned to stays as it is."""
    for name, value in list(node.iter_fields()):
        if isinstance(value, list):
            setattr(node, name, [_wrapped(one) for one in value])
        else:
            setattr(node, name, _wrapped(value))


def _wrapped(node: Any) -> Any:
    from jinja2 import nodes

    if not isinstance(node, nodes.Node):
        return node
    _replace_children(node)
    if isinstance(node, nodes.Concat):
        return _asked("joined", node.nodes)
    is_value = isinstance(node, (nodes.List, nodes.Dict)) or (isinstance(node, nodes.Tuple) and node.ctx == "load")
    return _asked("weighed", [node]) if is_value else node


def _asked(method: str, args: list[Any]) -> nodes.Call:
    from jinja2 import nodes

    return nodes.Call(nodes.EnvironmentAttribute(method), args, [], None, None)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is, where Jinja's own filter would escape it for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
