"""The core can be read in an evening and knows no variant; a variant can be read at a glance."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import octad_arch

PACKAGE = Path(octad_arch.__file__).parent
CORE = 2500
LONGEST = 60
# Reading and writing checkpoints and the wrapper for transformers: of the root's files those that are not the core.
EXCHANGE = {
    "checkpoint_map",
    "generation_cache",
    "hugging_face",
    "serialization",
    "transformers_backbone",
    "transformers_config",
    "transformers_model",
}
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


def core() -> list[Path]:
    return [path for path in sorted(PACKAGE.glob("*.py")) if path.stem not in EXCHANGE]


def classes() -> Iterator[tuple[str, int]]:
    for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("variants/*.py")]):
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


def test_the_core_is_small():
    sizes = {path.stem: len(lines_of_code(path.read_text(encoding="utf-8"))) for path in core()}
    assert {"decoder", "attention", "layer", "loss_head"} <= sizes.keys()
    assert sum(sizes.values()) <= CORE


def test_the_core_knows_no_variant():
    """Nor families, history or checkpoints: the arrows point inwards."""
    for path in core():
        if path.stem == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.module is not None
                assert (PACKAGE / f"{node.module}.py").exists(), (path.stem, node.module)
                assert node.module not in EXCHANGE, (path.stem, node.module)
