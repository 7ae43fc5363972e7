"""Chat templates against Hugging Face's renderer, and attacks on special tokens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import (
    CHATML_SPECIAL_TOKENS,
    BytePairTokenizer,
    ByteTokenizer,
    ChatTemplate,
    TokenizerError,
    WordTokenizer,
    train_bpe,
)

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi  there\n"},
    {"role": "assistant", "content": " Hello!"},
    {"role": "user", "content": ""},
    {"role": "assistant", "content": "日本 é"},
]
PLAIN_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RICH = """\
{%- if tools %}{{ bos }}tools: {{ tools | tojson }}
{% endif %}
{%- for m in messages if m.content is string %}
  {%- if loop.index > 20 %}{% break %}{% endif %}
[{{ m.role | upper }}]
  {%- if m.role == 'assistant' -%}
    {% generation %}{{ m.content | trim }}{{ eos }}{% endgeneration %}
  {%- else %}{{ m['content'] | trim }}{% endif %}
{% endfor %}"""


@pytest.fixture(scope="module")
def bpe(wild_texts: list[str]) -> BytePairTokenizer:
    return train_bpe(wild_texts[:200], 400, special_tokens=[*CHATML_SPECIAL_TOKENS, "<s>", "</s>", "¤"])


def written(tokenizer: BytePairTokenizer | ByteTokenizer, ids: list[int], mask: list[bool]) -> str:
    return tokenizer.decode([token_id for token_id, is_written in zip(ids, mask, strict=True) if is_written])


def test_chatml_is_as_published() -> None:
    assert ChatTemplate().render(CONVERSATION[:2], add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi  there\n<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ChatTemplate().render(CONVERSATION) == ChatTemplate(PLAIN_CHATML).render(CONVERSATION)


@pytest.mark.parametrize("source", [ChatTemplate().source, PLAIN_CHATML, RICH])
@pytest.mark.parametrize("prompt", [False, True])
def test_text_equals_hugging_faces(source: str, prompt: bool) -> None:
    chat_utils = pytest.importorskip("transformers.utils.chat_template_utils")
    more = {"tools": [{"name": "<é & b>", "n": [1, None]}], "bos": "<s>", "eos": "</s>"}
    theirs, _ = chat_utils.render_jinja_template(
        conversations=[CONVERSATION], chat_template=source, add_generation_prompt=prompt, **more
    )
    assert ChatTemplate(source).render(CONVERSATION, prompt, **more) == theirs[0]


def test_assistant_mask_equals_hugging_faces(bpe: BytePairTokenizer) -> None:
    chat_utils = pytest.importorskip("transformers.utils.chat_template_utils")
    for source in (ChatTemplate().source, RICH):
        more = {"bos": "<s>", "eos": "</s>"}
        texts, spans = chat_utils.render_jinja_template(
            conversations=[CONVERSATION], chat_template=source, return_assistant_tokens_mask=True, **more
        )
        ids, mask = ChatTemplate(source, variables=more).encode(bpe, CONVERSATION)
        assert bpe.decode(ids) == texts[0]
        assert ids == bpe.encode(texts[0])
        expected = "".join(texts[0][start:stop] for start, stop in spans[0])
        assert written(bpe, ids, mask) == expected


def test_mask_covers_what_the_assistant_wrote_with_its_end(bpe: BytePairTokenizer) -> None:
    ids, mask = ChatTemplate().encode(bpe, CONVERSATION, add_generation_prompt=True)
    assert ids == bpe.encode(ChatTemplate().render(CONVERSATION, add_generation_prompt=True))
    assert written(bpe, ids, mask) == " Hello!<|im_end|>日本 é<|im_end|>"
    _, no_mask = ChatTemplate().encode(bpe, CONVERSATION[:2])
    assert not any(no_mask)


def test_mask_without_generation_tags_comes_from_prefixes(bpe: BytePairTokenizer) -> None:
    ids, mask = ChatTemplate(PLAIN_CHATML).encode(bpe, CONVERSATION)
    assert written(bpe, ids, mask) == " Hello!<|im_end|>\n日本 é<|im_end|>\n"
    changing = "{% for m in messages %}{{ loop.revindex }}{{ m.content }}{% endfor %}"
    with pytest.raises(TokenizerError, match="generation"):
        ChatTemplate(changing).encode(bpe, CONVERSATION)


fragments = [
    "<|im_end|>",
    "<|im_start|>",
    "<|im_",
    "end|>",
    "<",
    "|>",
    ">",
    "<s>",
    "</s>",
    "¤",
    "assistant\n",
    " ",
    "x",
]


@settings(max_examples=150, deadline=None)
@given(contents=st.lists(st.lists(st.sampled_from(fragments), max_size=5).map("".join), min_size=1, max_size=4))
@pytest.mark.parametrize("tight", [False, True])
def test_content_never_becomes_special_tokens(bpe: BytePairTokenizer, contents: list[str], tight: bool) -> None:
    """Also where messages touch each other (tight) and two halves would make a whole."""
    source = "{% for m in messages %}{{ m.content }}{% endfor %}" if tight else ChatTemplate().source
    messages = [{"role": "user", "content": content} for content in contents]
    ids, mask = ChatTemplate(source).encode(bpe, messages)
    special = [token_id for token_id in ids if token_id in set(bpe.special_tokens.values())]
    pair = [bpe.special_tokens[name] for name in CHATML_SPECIAL_TOKENS]
    assert special == ([] if tight else pair * len(messages))
    assert bpe.decode(ids) == ChatTemplate(source).render(messages)
    assert not any(mask)


def test_content_between_the_templates_halves_stays_plain(bpe: BytePairTokenizer) -> None:
    ids, _ = ChatTemplate("<|{{ messages[0].content }}|>").encode(bpe, [{"role": "user", "content": "im_end"}])
    assert not set(ids) & set(bpe.special_tokens.values())
    assert bpe.decode(ids) == "<|im_end|>"


def test_tools_and_tool_calls_stay_plain_but_variables_of_the_template_do_not(bpe: BytePairTokenizer) -> None:
    source = "{{ bos }}{{ tools | tojson }}{{ messages[0].tool_calls | tojson }}"
    template = ChatTemplate(source, variables={"bos": "<s>"})
    messages = [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"</s>": "<|im_end|>"}}]}]
    ids, _ = ChatTemplate(source + "{% generation %}{% endgeneration %}", variables={"bos": "<s>"}).encode(
        bpe, messages, tools=["<s>"]
    )
    assert [i for i in ids if i in set(bpe.special_tokens.values())] == [bpe.special_tokens["<s>"]]
    assert bpe.decode(ids) == template.render(messages, tools=["<s>"])


def test_trusted_content_may_hold_special_tokens(bpe: BytePairTokenizer) -> None:
    messages = [{"role": "assistant", "content": "a<s>b<|im_end|>"}]
    ids, _ = ChatTemplate().encode(bpe, messages, content_special={"<s>"})
    assert ids.count(bpe.special_tokens["<s>"]) == 1
    assert ids.count(bpe.special_tokens["<|im_end|>"]) == 1


def test_a_template_that_reads_special_tokens_in_content_is_refused(bpe: BytePairTokenizer) -> None:
    template = ChatTemplate("{% generation %}{{ messages[0].content.split('</s>')[-1] }}{% endgeneration %}")
    messages = [{"role": "assistant", "content": "thought</s>answer"}]
    with pytest.raises(TokenizerError, match="content_special"):
        template.encode(bpe, messages)
    ids, mask = template.encode(bpe, messages, content_special=["</s>"])
    assert written(bpe, ids, mask) == "answer"


def test_any_lossless_tokenizer_will_do() -> None:
    ours = ByteTokenizer(CHATML_SPECIAL_TOKENS)
    ids, mask = ChatTemplate().encode(ours, CONVERSATION)
    assert written(ours, ids, mask) == " Hello!<|im_end|>日本 é<|im_end|>"
    with pytest.raises(TokenizerError, match="loses text"):
        ChatTemplate().encode(WordTokenizer(["Hi"], CHATML_SPECIAL_TOKENS), CONVERSATION)
    with pytest.raises(TokenizerError, match="lacks"):
        ChatTemplate().encode(ByteTokenizer(["<|im_end|>"]), CONVERSATION)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "non-empty"),
        ("hello", "non-empty"),
        ({"role": "user", "content": "x"}, "non-empty"),
        (["hello"], "message 0 has no role"),
        ([{"content": "x"}], "message 0 has no role"),
        ([{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}], "message 1 has the role 'robot'"),
        ([{"role": "user"}], "no content"),
        ([{"role": "user", "content": None}], "no content"),
        ([{"role": "user", "content": 3}], "type int"),
        ([{"role": "user", "content": ["part"]}], "failed"),
        ([{"role": "assistant", "tool_calls": [{}]}], "failed"),
        ([{"role": "user", "content": "x" * 1001}], "max_chars=1000"),
        ([{"role": "user", "content": "x" * 990}], "max_chars=1000"),
    ],
)
def test_messages_are_checked(messages: object, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        ChatTemplate(max_chars=1000).render(messages)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ messages.__class__.__mro__ }}", "failed"),
        ("{{ messages.append(1) }}", "failed"),
        ("{{ messages[0].content.format.__globals__['os'] }}", "SecurityError"),
        ("{{ 'a' * 10 ** 9 }}", "not allowed"),
        ("{{ 'a' * 1000000000 }}", "not allowed"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}aaaaaaaaaaaa{% endfor %}{% endfor %}", "max_chars"),
        ("{% for i in range(1000000000) %}{% endfor %}", "failed"),
    ],
)
def test_templates_run_in_a_sandbox(source: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        ChatTemplate(source, max_chars=5000).render([{"role": "user", "content": "x"}])


def test_template_is_checked_when_made() -> None:
    with pytest.raises(TokenizerError, match="line 2"):
        ChatTemplate("a\n{% for %}")
    with pytest.raises(TokenizerError, match="above max_chars"):
        ChatTemplate("a" * 11, max_chars=10)
    with pytest.raises(TokenizerError, match="less than 1"):
        ChatTemplate(max_chars=0)


def test_strftime_and_variables_are_there() -> None:
    template = ChatTemplate("{{ strftime_now('%Y') | length }}{{ bos }}{{ x }}", variables={"bos": "<s>"})
    assert template.render([{"role": "user", "content": ""}], x=1) == "4<s>1"
