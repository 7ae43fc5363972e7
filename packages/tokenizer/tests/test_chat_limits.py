"""Attacks on the sandbox, and real-world templates that must not notice it."""

# ruff: noqa: E501 - templates keep the lengths of their lines

from __future__ import annotations

import time

import pytest
from octad_tokenizer import ByteTokenizer, ChatTemplate, TokenizerError

USER = [{"role": "user", "content": "x" * 100}]
NEST = "{% set n = namespace(x=['a'] * 9) %}{% for i in range(60) %}"
GROW = "{% set n = namespace(x='ab') %}{% for i in range(60) %}"

TOO_LONG = {
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for x in [1, 2] recursive %}"
    "{% if loop.depth < 60 %}{{ loop([1, 2]) }}{% endif %}{% endfor %}",
    "recursive macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "call blocks": "{% macro f(n) %}{% if n %}{% call f(n - 1) %}{% endcall %}{% call f(n - 1) %}{% endcall %}"
    "{% endif %}{% endmacro %}{{ f(60) }}",
    "filters in a loop": "{% for i in range(99999) %}"
    "{% for j in range(99999) %}{{ '' | upper }}{% endfor %}{% endfor %}",
    "mapped loops": "{% for i in range(99999) %}{% set y = range(99999) | map('upper') | list %}{% endfor %}",
    "conditions": "{% for i in range(99999) if range(99999) | select('odd') | list | length < 0 %}{% endfor %}",
}
TOO_MUCH = {
    "repeat": "{{ 'a' * 1000000000 }}",
    "repeat the number": "{{ 1000000000 * 'a' }}",
    "repeat a list": "{{ [0] * 1000000000 }}",
    "repeat in a variable": "{% set x = 'a' * 90000 %}{% set y = x * 90000 %}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "multiply": "{% set n = namespace(x=9) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "double by ~": GROW + "{% set n.x = n.x ~ n.x %}{% endfor %}",
    "double by +": GROW + "{% set n.x = n.x + n.x %}{% endfor %}",
    "double by replace": GROW + "{% set n.x = n.x.replace('a', 'aa') %}{% endfor %}",
    "double by the filter": GROW + "{% set n.x = n.x | replace('a', 'aa') %}{% endfor %}",
    "double by join": GROW + "{% set n.x = [n.x, n.x] | join %}{% endfor %}",
    "double by str.join": GROW + "{% set n.x = n.x.join(['a', 'b', 'c']) %}{% endfor %}",
    "double by format": GROW + "{% set n.x = '{0}{0}'.format(n.x) %}{% endfor %}",
    "double by %": GROW + "{% set n.x = '%s%s' % (n.x, n.x) %}{% endfor %}",
    "double by the filter format": GROW + "{% set n.x = '%s%s' | format(n.x, n.x) %}{% endfor %}",
    "double by capture": GROW + "{% set c %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = c %}{% endfor %}",
    "double by map": GROW + "{% set n.x = n.x | map('replace', 'a', 'aa') | join %}{% endfor %}",
    "nest lists": NEST + "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "nest tuples": NEST + "{% set n.x = (n.x, n.x) %}{% endfor %}{{ n.x | tojson }}",
    "nest dicts": NEST + "{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x | string }}",
    "nest by dict()": NEST + "{% set n.x = dict(a=n.x, b=n.x) %}{% endfor %}{{ n.x }}",
    "nest and compare": NEST + "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == [] }}",
    "namespace of itself": "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "center in python": "{{ 'a'.center(1000000000) }}",
    "zfill": "{{ 'a'.zfill(1000000000) }}",
    "expandtabs": "{{ ('\\t' * 4000).expandtabs(4000) }}",
    "indent": "{{ ('\\n' * 4000) | indent(4000) }}",
    "indent by text": "{{ ('\\n' * 4000) | indent('a' * 4000) }}",
    "wordwrap": "{{ ('a ' * 2000) | wordwrap(1, wrapstring='b' * 4000) }}",
    "format width": "{{ '{:>1000000000}'.format('a') }}",
    "format nested width": "{{ '{:>{}}'.format('a', 1000000000) }}",
    "% width": "{{ '%1000000000d' % 1 }}",
    "% star": "{{ '%*d' % (1000000000, 1) }}",
    "% digits": "{{ '%.1000000000f' % 1.0 }}",
    "filter format width": "{{ '%1000000000d' | format(1) }}",
    "tojson indent": "{{ [[1]] | tojson(indent=1000000000) }}",
    "round": "{{ 1.5 | round(1000000000, 'ceil') }}",
    "to_bytes": "{{ (1).to_bytes(1000000000, 'big') }}",
    "translate": "{{ 'aaaa'.translate({97: 'a' * 4000}) }}",
    "sum of lists": "{{ [[1]] * 3000 | sum(start=[]) }}",
    "capture in a loop": "{% set x %}{% for i in range(99999) %}aaaaaaaaaaaaaaaa{% endfor %}{% endset %}",
    "capture values": "{% set x %}{% for i in range(99999) %}{{ messages[0].content }}{% endfor %}{% endset %}",
    "lipsum": "{{ lipsum(100000) }}",
    "large range": "{{ range(1000000000) | list }}",
    "slice": "{{ 'a' | batch(1000000000, 'x') | list }}",
}
ESCAPES = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by filter": "{{ '' | attr('__class__') | attr('__mro__') }}",
    "class by index": "{{ ''['__class__']['__mro__'] }}",
    "class by format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "class by format_map": "{{ '{a.__class__.__init__.__globals__}'.format_map({'a': raise_exception}) }}",
    "globals": "{{ raise_exception.__globals__ }}",
    "closure": "{{ raise_exception.__closure__ }}",
    "environment": "{{ self._TemplateReference__context.environment }}",
    "context": "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
    "namespace": "{{ namespace.__init__.__globals__ }}",
    "cycler": "{{ cycler('a').__init__.__globals__ }}",
    "import": "{% import 'os' as os %}{{ os }}",
    "include": "{% include '/etc/passwd' %}",
    "mutate": "{{ messages[0].update({'content': 'y'}) }}",
    "mutate by pop": "{{ messages.pop() }}",
    "clear": "{{ messages[0].clear() }}",
    "map attribute": "{{ [''] | map(attribute='__class__') | list }}",
    "frame": "{{ (x for x in y) }}",
}


def seconds_until_refused(source: str, **limits: float) -> float:
    start = time.monotonic()
    with pytest.raises(TokenizerError, match="the chat template"):
        ChatTemplate(source, **limits).render(USER)
    return time.monotonic() - start


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_template_cannot_run_for_long(name: str) -> None:
    """A limit of 0.2 s; 10 s leave room for a busy machine, and none of these would end in hours."""
    assert seconds_until_refused(TOO_LONG[name], timeout_s=0.2) < 10


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_template_cannot_make_much_text(name: str) -> None:
    assert seconds_until_refused(TOO_MUCH[name], max_chars=5000) < 10


@pytest.mark.parametrize("name", ESCAPES)
def test_a_template_cannot_leave_the_sandbox(name: str) -> None:
    messages = [{"role": "user", "content": "x"}]
    try:
        text = ChatTemplate(ESCAPES[name]).render(messages)
    except TokenizerError:
        text = ""
    assert text in ("", "[Undefined]", "[]")
    assert messages == [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    "source", ["{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{% if 1 %}" * 300 + "{% endif %}" * 300]
)
def test_a_template_cannot_break_the_compiler(source: str) -> None:
    with pytest.raises(TokenizerError, match="nested too deeply"):
        ChatTemplate(source)


def test_limits_are_for_each_rendering() -> None:
    template = ChatTemplate("{% for i in range(100) %}{{ 'a' * 10 }}{% endfor %}", max_chars=1000, timeout_s=5)
    for _ in range(10):
        assert len(template.render(USER)) == 1000
    with pytest.raises(TokenizerError, match="timeout_s=0"):
        ChatTemplate(timeout_s=0)


LLAMA3 = """\
{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n\\n" }}{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("one tool call at once") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}{{- '"parameters": ' }}{{- tool_call.arguments | tojson }}{{- "}" }}
        {{- "<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}
        {%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
QWEN = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}{%- else %}{{- 'You are helpful.' }}{%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}{%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" %}
        {%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content or '' %}
        {%- set reasoning = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}{{- '<|im_start|>' + message.role + '\\n' + content }}{%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
            {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
            {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
MISTRAL = """\
{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set loop_messages = messages %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools or [] %}{{- '{"type": "function", ' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}{%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}{{- "}" }}{%- if not loop.last %}{{- ", " }}{%- endif %}
            {%- endfor %}{{- "][/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}{{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}{{- "[INST] " + message["content"] + "[/INST]" }}{%- endif %}
    {%- elif message["role"] == "assistant" %}{{- " " + (message["content"] or "")|trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\\n' + (message['content'] or '') | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n' ~ message['content'] ~ eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
MACROS = """\
{%- macro describe(properties, depth=0) %}
  {%- for key, value in properties | dictsort %}
{{ '  ' * depth }}{{ key }}: {{ {'string': 'str', 'integer': 'int'}.get(value.type, 'any') }}
    {%- if value.properties %}{{ describe(value.properties, depth + 1) }}{% endif %}
    {%- if not loop.last %},{% endif %}
  {%- endfor %}
{%- endmacro %}
{%- for tool in tools or [] %}{{ describe(tool.parameters.properties) }}{% endfor %}
{%- for m in messages %}{{ loop.index }}/{{ loop.length }} {{ loop.revindex0 }} {{ loop.previtem.role if loop.previtem }} \
{{ [m.role, m.content or 'none'] | join(': ') | replace('\\n', ' ') | indent(2) }} {{ '%s|%03d' | format(m.role, loop.index) }} \
{{ '{:>8}'.format(m.role) }} {{ '%s' % m.role }} {{ loop.cycle('a', 'b') }}
{% else %}nothing{% endfor %}
{%- set parts = messages | map(attribute='content') | reject('none') %}
{{- parts | join('+') }}{{ '-'.join(messages | map(attribute='role')) }}{{ messages | map(attribute='role') | join }}
{%- for group in messages | groupby('role') %}{{ group.grouper }}{{ group.list | length }}{% endfor %}"""

TOOLS = [
    {
        "name": "weather",
        "return": "x",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "when": {"properties": {"day": {}}}},
        },
    }
]
CHATS = [
    [{"role": "user", "content": " Hi \n"}],
    [
        {"role": "system", "content": "Be brief. é"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\ntwo"},
        {"role": "user", "content": "<b>three</b>"},
    ],
    [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Köln"}}}],
        },
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
    ],
]


@pytest.mark.parametrize("name", ["LLAMA3", "QWEN", "MISTRAL", "GEMMA", "ZEPHYR", "MACROS"])
@pytest.mark.parametrize("chat", range(len(CHATS)))
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_real_templates_write_what_hugging_face_writes(name: str, chat: int, tools: object) -> None:
    chat_utils = pytest.importorskip("transformers.utils.chat_template_utils")
    source, more = globals()[name], {"bos_token": "<s>", "eos_token": "</s>"}
    for prompt in (False, True):
        theirs, _ = chat_utils.render_jinja_template(
            conversations=[CHATS[chat]], chat_template=source, add_generation_prompt=prompt, tools=tools, **more
        )
        ours = ChatTemplate(source, variables=more)
        assert ours.render(CHATS[chat], prompt, tools=tools) == theirs[0]
        assert ByteTokenizer().decode(ByteTokenizer().encode(theirs[0])) == theirs[0]
