import pytest
from octad_data.prose import paragraphs


def test_prose_joins_lines_and_keeps_list_items_apart():
    text = "A list of the\nthings to do:\n- open the file\n  and read it\n- close it again."
    assert list(paragraphs(text)) == ["A list of the things to do:\n- open the file and read it\n- close it again."]


@pytest.mark.parametrize(
    "block",
    [
        ">>> the_answer_to(all_of_it)\n42 is the answer to all",
        "for item in the_list:\n    print(item)",
        "x = the value of a thing",
        "name      what it is for\nage       how old it is",
        "| a | table of | the words |",
        "+---+---+\n| a | b |\n+---+---+",
        "Copyright 2001 by the people who wrote this module.",
        "Permission to use, copy and modify this is hereby granted.",
        "type: ignore the rest of this line, it is wrong.",
        "==========",
        "two words",
        "zip foo bar baz qux quux corge",
        "",
    ],
)
def test_prose_leaves_out(block):
    assert list(paragraphs(block)) == []


def test_prose_undoes_roles_and_back_ticks():
    assert list(paragraphs("Use :meth:`~os.open` or ``close`` to get at the file.")) == [
        "Use `os.open` or `close` to get at the file."
    ]


def test_prose_keeps_text_before_a_doctest():
    assert list(paragraphs("This is how the thing is used:\n>>> f(1)\n2\n\nAnd that is the end of it.")) == [
        "This is how the thing is used:",
        "And that is the end of it.",
    ]
