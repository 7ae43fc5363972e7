"""The corpus that is on every machine: the running Python's standard library, read and never imported."""

import ast
import os
import re
import sys
import sysconfig
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.prose import paragraphs

SOURCE = "standard-library"
# Tests say the same thing many times over; the others hold somebody else's packages or this machine's build settings.
LEFT_OUT = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "_bundled", "_vendor", "__pycache__", "__phello__"}
)
LEFT_OUT_FILE = re.compile(r"_sysconfig(?:_?data|_vars)|test_.*\.py$|.*_test\.py$")
TOPICS = "pydoc_data/topics.py"
MIN_PROSE = 120  # characters; a module with less has only stray sentences
# A file of which long literals fill this share is a generated table (character maps, entities), not a program.
TABLE_SHARE = 0.5


def standard_library_documents(root: Path | None = None) -> Iterator[Document]:
    """Sources (`kind="code"`) and the English in them (`kind="prose"`) of Python's standard library.

    A module gives one document of code and one of prose: its docstrings and comment blocks in the order of the file,
    a blank line between paragraphs, each only where it is first met in the corpus. The language reference that
    `help()` shows (pydoc's topics) is prose, a document a topic. Tests, installed packages and generated tables are
    left out. `metadata["module"]` is the same for the code and the prose of a module: a split that is to be fair to
    both takes it as its `key`. CPython 3.11 has 9.9 MB of code and 2.3 MB of prose, in the order of
    the file names.

    Args:
        root: folder of the library; that of the running Python when not given.

    Raises:
        DataError: no Python source lies under root.
    Cost: 5 seconds of one core.
    """
    folder = Path(sysconfig.get_path("stdlib")) if root is None else Path(root)
    files = sorted(_sources(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        raise DataError(f"no .py files under {folder}; give root= the folder that holds `os.py` and `ast.py`")
    return _documents(folder, files)


def _documents(folder: Path, files: list[Path]) -> Iterator[Document]:
    seen: set[str] = set()
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            with tokenize.open(path) as file:  # honours the file's own coding line
                source = file.read()
            tree = _parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue  # templates and samples of broken code: no interpreter reads them either
        if name == TOPICS:
            yield from _topics(tree, seen)
            continue
        if not source.strip() or _is_table(tree, source):
            continue
        yield _document(source, "code", name)
        prose = _unseen(_prose(tree, source), seen)
        if len(prose) >= MIN_PROSE:
            yield _document(prose, "prose", name)


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT and not name.startswith("config-")]
        yield from (Path(folder, name) for name in names if name.endswith(".py") and not LEFT_OUT_FILE.match(name))


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old modules hold escapes that the compiler now frowns on
        return ast.parse(source)


def _document(text: str, kind: str, name: str) -> Document:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Document(text, f"{kind}/{name}", SOURCE, kind, {"module": name, "python": python})


def _topics(tree: ast.Module, seen: set[str]) -> Iterator[Document]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for topic, text in ast.literal_eval(node.value).items():
                prose = _unseen(paragraphs(text), seen)
                if len(prose) >= MIN_PROSE:
                    yield _document(prose, "prose", f"{TOPICS}/{topic}")


def _is_table(tree: ast.Module, source: str) -> bool:
    literals = (ast.Assign, ast.AnnAssign, ast.Expr)
    long = [lines for node in tree.body[1:] if isinstance(node, literals) and (lines := _lines(node)) > 50]
    return sum(long) > TABLE_SHARE * source.count("\n")


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _unseen(texts: Iterator[str], seen: set[str]) -> str:
    fresh = []
    for text in texts:
        key = " ".join(text.lower().split())
        if key not in seen:
            seen.add(key)
            fresh.append(text)
    return "\n\n".join(fresh)


def _prose(tree: ast.Module, source: str) -> Iterator[str]:
    statements = [tree, *_statements(tree)]
    pieces = [*_docstrings(statements), *_comments(statements, source)]
    for _, text in sorted(pieces, key=lambda piece: piece[0]):
        yield from paragraphs(text)


def _statements(block: ast.AST) -> Iterator[ast.AST]:
    """All statements inside, and not their expressions: a tenth of what `ast.walk` visits."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(block, name, ()):
            yield inner
            yield from _statements(inner)


def _docstrings(statements: list[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in statements:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def _comments(statements: list[ast.AST], source: str) -> Iterator[tuple[int, str]]:
    """Runs of whole-line comments at one indentation: (first line, text).

    A line that begins with # is a comment unless it lies inside a string of several lines, which the tree tells; this
    is much faster than the tokenizer.
    """
    lines = [*source.splitlines(), ""]
    candidates = [number for number, line in enumerate(lines, 1) if line.lstrip().startswith("#")]
    comments = set(candidates) - _in_strings(statements, candidates)
    start, indent, block = 0, -1, list[str]()
    for number, line in enumerate(lines, 1):
        bare = line.lstrip()
        if block and (number not in comments or len(line) - len(bare) != indent):
            yield start, "\n".join(block)
            block = []
        if number in comments:
            if not block:
                start, indent = number, len(line) - len(bare)
            block.append(bare.lstrip("#"))


def _in_strings(statements: list[ast.AST], numbers: list[int]) -> set[int]:
    """Those of the ascending line numbers that lie inside a string; only statements that hold one are looked into."""
    inside: set[int] = set()
    for statement in statements:
        if isinstance(statement, ast.stmt) and not hasattr(statement, "body"):
            first, last = statement.lineno, statement.end_lineno or statement.lineno
            at = bisect_right(numbers, first)
            if at == len(numbers) or numbers[at] > last:
                continue
            for node in ast.walk(statement):
                if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno:
                    inside.update(range(node.lineno + 1, node.end_lineno + 1))
    return inside
