from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_tokenizer import CL100K, GPT2, LLAMA3, O200K, QWEN2, PreTokenizer, TokenizerError
from octad_tokenizer.patterns import CL100K_TIKTOKEN


@settings(max_examples=100, deadline=None)
@given(text=st.text(), pattern=st.sampled_from([GPT2, CL100K, O200K, QWEN2, LLAMA3, r"\w+", r"(a)|(b)c", r"(?=x)x"]))
def test_pre_tokens_lose_no_text(text: str, pattern: str) -> None:
    pieces = PreTokenizer(pattern).split(text)
    assert "".join(pieces) == text
    assert "" not in pieces


def test_text_between_matches_is_a_pre_token() -> None:
    assert PreTokenizer(r"\d+").split("ab12cd345") == ["ab", "12", "cd", "345"]
    assert PreTokenizer(r"(\d)\d*").split("ab12") == ["ab", "12"]
    assert PreTokenizer("z").split("abc") == ["abc"]


def test_numbers_are_cut_as_published() -> None:
    assert PreTokenizer(GPT2).split("a 12345") == ["a", " 12345"]
    assert PreTokenizer(CL100K).split("12345") == ["123", "45"]
    assert PreTokenizer(QWEN2).split("123") == ["1", "2", "3"]
    assert PreTokenizer(O200K).split("camelCase don't") == ["camel", "Case", " don't"]


@settings(max_examples=300, deadline=None)
@given(
    left=st.text(alphabet="aZ1 \n\r\t.'/é\u0301日-", max_size=12),
    right=st.text(alphabet="aZ1 \n\r\t.'/é\u0301日-", max_size=12),
    pattern=st.sampled_from([GPT2, CL100K, O200K, QWEN2, CL100K_TIKTOKEN]),
)
def test_a_cut_separates_pre_tokens_whatever_follows(left: str, right: str, pattern: str) -> None:
    pre_tokenizer = PreTokenizer(pattern)
    cut = pre_tokenizer.last_cut(left)
    if cut is not None:
        whole = left + right
        assert pre_tokenizer.split(whole[:cut]) + pre_tokenizer.split(whole[cut:]) == pre_tokenizer.split(whole)


@pytest.mark.parametrize("pattern", ["", "a*", "(", r"\p{Nothing}", "x|"])
def test_unusable_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(TokenizerError, match="pattern="):
        PreTokenizer(pattern)
