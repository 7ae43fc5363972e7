"""The task generator: right answers, no leak between the splits, and wrong answers that are wrong."""

import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_align import ALL_OPERATIONS, AlignError, Task, generate_tasks, preference_pairs, verify
from octad_align.tasks import Operands, PreferencePair, canonical_answer, split_of
from octad_align.tasks.phrasings import PHRASINGS


@pytest.fixture(scope="module")
def train():
    return generate_tasks(0, 3000)


@pytest.fixture(scope="module")
def held_out():
    return generate_tasks(1, 1000, split="held_out")


def test_splits_share_no_prompt_and_no_operands(train, held_out):
    assert not {task.prompt for task in train} & {task.prompt for task in held_out}
    keys = [{(task.operation, task.operands) for task in tasks} for tasks in (train, held_out)]
    assert not keys[0] & keys[1]


def test_tasks_have_no_duplicates_and_all_operations(train, held_out):
    for tasks in (train, held_out):
        assert len({task.prompt for task in tasks}) == len(tasks)
        assert {task.operation for task in tasks} == set(ALL_OPERATIONS)


def test_every_phrasing_is_used(train):
    used = {(task.operation, task.template) for task in train}
    assert used == {(name, i) for name, phrasings in PHRASINGS.items() for i in range(len(phrasings))}


def test_no_prompt_belongs_to_two_tasks(train):
    """A phrasing that forgot an operand would give one prompt two answers."""
    phrasings = [phrasing for group in PHRASINGS.values() for phrasing in group]
    assert len(set(phrasings)) == len(phrasings)
    for task in train:
        text = f" {task.prompt} "
        for field in (*task.operands.items, *task.operands.other, task.operands.x, task.operands.y):
            assert f" {field}" in text, task


def solve_again(task):
    """An independent solution, operation by operation, of the operands."""
    items, x, y = list(task.operands.items), task.operands.x, task.operands.y
    if task.operation in ("uppercase", "lowercase"):
        other = str.maketrans(string.ascii_letters, string.ascii_letters.swapcase())
        return [item.translate(other) for item in items]
    if task.operation in ("sort_letters", "sort_digits"):
        result = []
        for item in items:
            result.insert(sum(old < item for old in result), item)
        return result
    if task.operation == "nth":
        return [items[["first", "second", "third", "fourth", "fifth", "sixth"].index(x)]]
    if task.operation == "swap_ends":
        items[0], items[-1] = items[-1], items[0]
        return items
    return {
        "reverse": lambda: items[::-1],
        "first": lambda: items[:1],
        "last": lambda: items[-1:],
        "largest": lambda: sorted(items)[-1:],
        "smallest": lambda: sorted(items)[:1],
        "remove": lambda: "".join(items).replace(x, ""),
        "replace": lambda: "".join(items).replace(x, y),
        "count": lambda: [str("".join(items).count(x))],
        "length": lambda: [str(sum(1 for _ in items))],
        "contains": lambda: ["yes" if set(items) & {x} else "no"],
        "repeat": lambda: [x for _ in range(int(y))],
        "next_number": lambda: [str(-~int(x))],
        "previous_number": lambda: [str(~-int(x))],
        "join": lambda: [*items, *task.operands.other],
        "add": lambda: [str(len("." * int(x) + "." * int(y)))],
        "larger": lambda: [y if int(y) > int(x) else x],
    }[task.operation]()


def test_answers_are_right(train, held_out):
    for task in (*train, *held_out):
        assert task.answer.split() == list(solve_again(task)), task
        assert verify(task, task.answer).value == 1


def test_yes_and_no_are_balanced(train):
    answers = Counter(task.answer for task in train if task.operation == "contains")
    assert 0.35 < answers["yes"] / answers.total() < 0.65  # 136 draws: 3.5 standard deviations


@given(seed=st.integers(0, 2**40), n=st.integers(0, 60))
@settings(max_examples=20)
def test_generation_is_deterministic_and_a_larger_n_only_adds(seed, n):
    tasks = generate_tasks(seed, n)
    assert len(tasks) == n
    assert generate_tasks(seed, n + 7)[:n] == tasks


def test_seeds_differ():
    assert generate_tasks(0, 30) != generate_tasks(1, 30)


def test_first_tasks_are_the_same_on_every_machine():
    """Golden: prompts in published runs must not change by accident."""
    first = generate_tasks(0, 3)
    assert [(task.prompt, task.answer) for task in first] == [
        ("Write b, i, q, p, m in reverse order.", "m p q i b"),
        ("Give the first element: s g q e j.", "s"),
        ("What does r w end with?", "w"),
    ]


@pytest.mark.parametrize("num_items", [(2, 2), (2, 3), (6, 6)])
def test_num_items_is_kept(num_items):
    for task in generate_tasks(3, 200, num_items=num_items):
        if task.operands.items and task.operation != "join":
            assert num_items[0] <= len(task.operands.items) <= num_items[1]


def test_items_are_single_symbols_after_a_space(train):
    for task in train:
        assert all(len(item) == 1 for item in (*task.operands.items, *task.operands.other))
        assert "  " not in task.prompt and task.prompt[-1] in ".?0123456789"


def test_used_up_operations_leave_the_turns_and_then_it_says_so():
    tasks = generate_tasks(0, 200, operations=["larger", "reverse"], split="held_out")
    assert Counter(task.operation for task in tasks)["larger"] < 100 < len(tasks)
    with pytest.raises(AlignError, match="n=5000 is more than the"):
        generate_tasks(0, 5000, operations=["larger"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": -1}, "n=-1"),
        ({"operations": []}, "at least one"),
        ({"operations": "reverse"}, "in a sequence"),
        ({"operations": ["reverse", "reverse"]}, "each once"),
        ({"operations": ["sing"]}, "operation='sing'"),
        ({"split": "test"}, "train, held_out"),
        ({"num_items": (1, 3)}, r"num_items=\(1, 3\)"),
        ({"num_items": (4, 3)}, r"num_items=\(4, 3\)"),
        ({"num_items": (2, 7)}, r"num_items=\(2, 7\)"),
    ],
)
def test_generate_tasks_names_the_wrong_argument(settings, message):
    with pytest.raises(AlignError, match=message):
        generate_tasks(0, **{"n": 5, **settings})


def test_split_of_holds_out_about_one_in_eight():
    keys = [Operands(items=(a, b)) for a in string.ascii_lowercase for b in string.ascii_lowercase]
    share = sum(split_of("reverse", key) == "held_out" for key in keys) / len(keys)
    assert 0.08 < share < 0.17  # 676 draws: 3.5 standard deviations


@pytest.mark.parametrize("completion", ["z, q, k", "z q k.", " z  q\nk ", "z,q,k", '"z q k"'])
def test_verify_accepts_another_dress(completion):
    assert verify(Task("Reverse the list: k, q, z.", "z q k", "reverse", 0), completion).value == 1


@pytest.mark.parametrize("completion", ["", "z q", "z q k k", "Z Q K", "zqk", "z q k\nz q k", "The answer is z q k"])
def test_verify_refuses_another_answer(completion):
    assert verify(Task("Reverse the list: k, q, z.", "z q k", "reverse", 0), completion).value == 0


def test_verify_takes_yes_in_any_case():
    assert verify(Task("Is k in the list k, q?", "yes", "contains", 0), "Yes.").value == 1


@pytest.mark.parametrize(
    ("completion", "value"), [("z q k", 1.0), ("k q z", 0.2), ("z q", 0.0), ("z q 3", 0.0), ("Z q k", 0.0), ("", 0.0)]
)
def test_graded_reward_pays_for_the_form(completion, value):
    task = Task("Reverse the list: k, q, z.", "z q k", "reverse", 0)
    assert verify(task, completion, graded=True).value == value


@given(completion=st.text(max_size=30))
def test_verify_never_raises(completion):
    task = Task("Add 1 and 2.", "3", "add", 1)
    assert verify(task, completion, graded=True).value in (0, 0.2, 1)


@pytest.mark.parametrize("seed", range(3))
def test_rejected_answers_are_wrong(train, seed):
    pairs = preference_pairs(train, seed)
    assert pairs == preference_pairs(train, seed)
    for task, pair in zip(train, pairs, strict=True):
        assert pair.prompt == task.prompt and pair.chosen == task.answer
        assert verify(task, pair.chosen).value == 1
        assert verify(task, pair.rejected).value == 0
        assert pair.rejected.strip()


def test_every_corruption_occurs(train):
    kinds = {pair.corruption for pair in preference_pairs(train, 0)}
    assert kinds == {
        "swapped_neighbours", "missing_item", "doubled_item", "off_by_one", "wrong_item", "wrong_operation",
        "opposite",
    }  # fmt: skip


@pytest.mark.parametrize("answer", ["z q k", "a a", "z", "0", "yes", "no", "14", "word"])
def test_a_task_without_operands_has_a_wrong_answer_too(answer):
    task = Task("?", answer, "reverse", 0)
    for seed in range(5):
        (pair,) = preference_pairs([task], seed)
        assert canonical_answer(pair.rejected) != canonical_answer(answer)


def test_pair_and_task_refuse_what_makes_no_sense():
    with pytest.raises(AlignError, match="same answer"):
        PreferencePair("?", "a b", "a, b.", "none", "reverse")
    with pytest.raises(AlignError, match="empty"):
        Task("", "a", "reverse", 0)
    with pytest.raises(AlignError, match="template=-1"):
        Task("?", "a", "reverse", -1)
    assert preference_pairs([], 0) == ()
