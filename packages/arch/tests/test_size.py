"""A variant is short enough to be read at a glance: no block has more than sixty lines of code."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import octad_arch

LONGEST = 60
# Whole models and a cache, which are no variants.
MODELS = {"DecoderModel", "OctadForCausalLM", "DynamicCache"}
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_of_code(source: str) -> set[int]:
    """The numbers of the lines that hold more than comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for token in tokens if token.type not in LAYOUT for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            text = node.body[0]
            lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return lines


def classes() -> Iterator[tuple[str, int]]:
    for path in sorted(Path(octad_arch.__file__).parent.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = lines_of_code(source)
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                yield node.name, len(lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))


def test_lines_of_code_are_counted_without_words():
    lines = ['"""Words."""', "", "x = 1  # words", "# words", "", "", "def f(", "    a,", "):"]
    lines += ['    """Words.', "", "    More.", '    """', "    return a", ""]
    assert lines_of_code("\n".join(lines)) == {3, 7, 8, 9, 14}


def test_no_block_is_long():
    sizes = {name: size for name, size in classes() if name not in MODELS}
    assert len(sizes) > 100
    assert not {name: size for name, size in sizes.items() if size > LONGEST}  # give some of their work to functions
