import ast
import sys
import textwrap
import time
from collections import Counter

import pytest
from octad_data import DataError, standard_library_documents


@pytest.fixture(scope="module")
def corpus():
    modules = set(sys.modules)
    start = time.process_time()
    found = list(standard_library_documents())
    return found, time.process_time() - start, set(sys.modules) - modules


def test_standard_library_has_the_expected_size(corpus):
    sizes = Counter()
    for document in corpus[0]:
        sizes[document.kind] += len(document.text.encode())
    # 10.5 and 2.3 MB on 3.11, 9.8 and 2.15 on 3.13; a distribution may leave out tkinter, idlelib or distutils.
    assert 6e6 < sizes["code"] < 13e6
    assert 1.4e6 < sizes["prose"] < 3e6


def test_standard_library_takes_seconds_and_imports_nothing(corpus):
    _, seconds, imported = corpus
    assert seconds < 30  # 7 s on the slowest machine measured; coverage tools double it
    assert not imported & {"antigravity", "this", "idlelib", "turtledemo", "tkinter"}


def test_standard_library_leaves_out_tests_packages_and_tables(corpus):
    paths = {document.metadata["module"] for document in corpus[0]}
    parts = {part for path in paths for part in path.split("/")}
    assert not parts & {"test", "tests", "idle_test", "site-packages", "__pycache__"}
    assert "encodings/cp1251.py" not in paths and "encodings/cp437.py" not in paths and "html/entities.py" not in paths
    assert {"argparse.py", "json/decoder.py", "pydoc_data/topics.py/assert"} <= paths


def test_standard_library_names_are_unique_and_ordered(corpus):
    ids = [document.id for document in corpus[0]]
    assert len(set(ids)) == len(ids)
    assert "code/argparse.py" in ids and "prose/argparse.py" in ids
    assert {document.source for document in corpus[0]} == {"standard-library"}


def test_standard_library_code_parses(corpus):
    for document in corpus[0]:
        if document.id in ("code/argparse.py", "code/heapq.py"):
            ast.parse(document.text)


def test_standard_library_prose_is_unique_and_english(corpus):
    paragraphs = [p for d in corpus[0] if d.kind == "prose" for p in d.text.split("\n\n")]
    assert len(paragraphs) == len({" ".join(p.lower().split()) for p in paragraphs})
    text = "\n".join(paragraphs)
    for unwanted in (">>> ", "Copyright", "All rights reserved", ":meth:`", "-----", "+---"):
        assert unwanted not in text
    letters = sum(character.isalpha() or character.isspace() for character in text)
    assert letters > 0.93 * len(text)


def test_standard_library_holds_the_language_reference(corpus):
    topic = next(d for d in corpus[0] if d.id == "prose/pydoc_data/topics.py/assert")
    assert "Assert statements are a convenient way to insert debugging assertions into a program:" in topic.text
    assert "raise AssertionError" not in topic.text


def test_standard_library_reads_docstrings_and_comments_in_order(tmp_path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "left_out.py").write_text("x = 1\n")
    source = '''
        """The first paragraph of this module says what it is for."""
        # This comment stands before the function and
        # goes on in the second line of it.
        def f():
            """Return the one number that everybody wants to have.

            >>> f()
            1
            """
            text = """
        # this is not a comment of the module but a part of the string
        """
            # value = compute(1, 2)
            return 1  # a remark on the line is not a block of its own
    '''
    (tmp_path / "module.py").write_text(textwrap.dedent(source).lstrip())
    found = {document.id: document for document in standard_library_documents(tmp_path)}
    assert set(found) == {"code/latin.py", "code/module.py", "prose/module.py"}
    assert found["code/latin.py"].text.endswith("'é'\n")
    assert found["prose/module.py"].text.split("\n\n") == [
        "The first paragraph of this module says what it is for.",
        "This comment stands before the function and goes on in the second line of it.",
        "Return the one number that everybody wants to have.",
    ]


def test_standard_library_names_the_empty_folder(tmp_path):
    with pytest.raises(DataError, match=r"no \.py files"):
        standard_library_documents(tmp_path)
