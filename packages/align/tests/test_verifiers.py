"""Verifiers: what is right, what is wrong, and that nothing a model writes breaks them."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from octad_align import AlignError, Reward, answer_format, exact_match, numeric_match
from octad_align.verifiers import answer_number, boxed_answer, parse_number, tagged_answer, weighted


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_reward_refuses_a_value_outside_0_and_1(value):
    with pytest.raises(AlignError, match=r"\[0, 1\]"):
        Reward(value, "")


@pytest.mark.parametrize("completion", ["Paris", " paris. ", '"Paris"', "PARIS", "“Paris.”", "'Paris'."])
def test_exact_match_accepts_another_dress(completion):
    assert exact_match("Paris", completion).value == 1


@pytest.mark.parametrize("completion", ["", "Paris, France", "Pari s", "paris or london", '"'])
def test_exact_match_refuses_another_answer(completion):
    assert exact_match("Paris", completion).value == 0


def test_exact_match_can_mind_the_case():
    assert exact_match("K", "k", ignore_case=False).value == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-3.5", Fraction(-7, 2)),
        ("−3", -3),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("1,234,567.8", Fraction(12345678, 10)),
        ("1{,}234", 1234),
        ("6e-3", Fraction(6, 1000)),
        (r"2 \times 10^{3}", 2000),
        ("2 x 3", 3),
        ("3/4", Fraction(3, 4)),
        ("-3 / 4", Fraction(-3, 4)),
        ("1 1/2", Fraction(3, 2)),
        ("-1 1/2", Fraction(-3, 2)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        (r"\frac{-3}{4}", Fraction(-3, 4)),
        ("$1,200", 1200),
        ("$\\$1{,}200$", 1200),
        ("50 %", 50),
        ("12 km", 12),
        ("x = 7", 7),
        ("10 - 3 = 7", 7),
        ("10-3", 3),
        ("x-3", 3),
        ("(3,4)", 4),
        ("(3,-4)", -4),
        ("1,234,5678", 5678),
        ("the answer is 3 or 4", 4),
        ("+8", 8),
        ("007", 7),
        ("1/0", None),
        ("none", None),
        ("", None),
    ],
)
def test_parse_number_reads(text, value):
    assert parse_number(text) == value


@given(value=st.fractions(max_denominator=1000))
def test_parse_number_round_trips_fractions(value):
    assert parse_number(f"The answer is {value}.") == value


@given(value=st.decimals(-(10**9), 10**9, allow_nan=False, places=3))
def test_parse_number_round_trips_decimals_with_separators(value):
    assert parse_number(f"{value:,}") == Fraction(value)


@given(text=st.text(max_size=60) | st.text("0123456789.,/-+eE^{} \\frac", max_size=40))
@example("9" * 10_000)
@example("1e" + "9" * 5000)
@example("1e999999")
@example("1,111" * 3000)
@example("\\boxed{" * 500)
@example("²/³")
def test_verifiers_never_raise_on_a_completion(text):
    assert numeric_match("3", text).value in (0, 1)
    assert exact_match("3", text).value in (0, 1)
    assert answer_format(text).value in (0, 1)


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        (r"2 + 2 = 4, so \boxed{\frac{1}{2}} (not 9)", Fraction(1, 2)),
        ("<answer> 12 apples </answer> 13", 12),
        ("6 * 7 = 42\n#### 1,042", 1042),
        ("about 3 or so, 17", 17),
        (r"\boxed{}", None),
    ],
)
def test_answer_number_prefers_the_marked_answer(completion, value):
    assert answer_number(completion) == value


def test_numeric_match_is_exact_unless_told():
    assert numeric_match("1/3", "0.333").value == 0
    assert numeric_match("1/3", "0.333", relative_tolerance=0.01).value == 1
    assert numeric_match("0.5", "1/2").value == 1
    assert numeric_match("0", "0.0").value == 1
    assert numeric_match("7", "no idea").reason == "no number in the completion"
    with pytest.raises(AlignError, match="holds no number"):
        numeric_match("seven", "7")


def test_boxed_answer_balances_braces():
    assert boxed_answer(r"\boxed{1} and \boxed{\frac{a}{b}}") == r"\frac{a}{b}"
    assert boxed_answer(r"\boxed{1") is None


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        ("<think>a</think><answer>b</answer>", 1),
        ("\n<think>\na\n</think>\n\n<answer>b</answer>\n", 1),
        ("<think></think><answer>b</answer>", 0),
        ("<think>a</think><answer> </answer>", 0),
        ("<think>a</think>so<answer>b</answer>", 0),
        ("<think>a</think><answer>b</answer>!", 0),
        ("<answer>b</answer><think>a</think>", 0),
        ("<think>a<answer>b</answer></think>", 0),
        ("<think>a</think><answer>b</answer><answer>c</answer>", 0),
        ("b", 0),
    ],
)
def test_answer_format_asks_for_both_parts_once(completion, value):
    assert answer_format(completion).value == value


def test_tags_are_words():
    assert answer_format("<out>3</out>", thinking=None, answer="out").value == 1
    assert tagged_answer("</answer>3<answer>") is None
    with pytest.raises(AlignError, match="one word"):
        tagged_answer("x", "a b")


def test_weighted_adds_the_rewards_up():
    verifier = weighted([(exact_match, 0.75), (lambda task, text: answer_format(text, thinking=None), 0.25)])
    assert verifier("3", "3").value == 0.75
    assert verifier("3", "<answer>3</answer>").value == 0.25
    with pytest.raises(AlignError, match="sum to 1"):
        weighted([(exact_match, 0.5)])
