"""Write `engine/unicode_table.c`: the classes of all characters, as the `regex` library has them.

    python tools/unicode_table.py              # write the table
    python tools/unicode_table.py --check      # exit 1 if the table differs from what would be written

The table is part of the source, so that ids depend on the version of this package and on nothing else: Python's
`unicodedata` is older on older Pythons. Run this when `regex` moves to a newer Unicode, and say so in CHANGELOG.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
from pathlib import Path

import regex

TABLE = Path(__file__).resolve().parents[1] / "src" / "octad_tokenizer" / "engine" / "unicode_table.c"
SIZE = 0x110000
BLOCK = 128
CLASSES = (
    r"\p{L}",
    r"\p{N}",
    r"\s",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
)
"""In the order of the bits in `char_class.h`: letter, number, space, may begin a word, may end a word."""


def classes() -> bytes:
    """One byte of class bits a code point."""
    characters = "".join(map(chr, range(SIZE)))
    found = bytearray(SIZE)
    for bit, pattern in enumerate(CLASSES):
        for match in regex.finditer(f"(?:{pattern})+", characters):
            for code_point in range(*match.span()):
                found[code_point] |= 1 << bit
    return bytes(found)


def two_stages(flat: bytes) -> tuple[list[int], list[bytes]]:
    """The number of each block, and the different blocks: `flat[c] == blocks[numbers[c // BLOCK]][c % BLOCK]`."""
    seen: dict[bytes, int] = {}
    numbers = [seen.setdefault(flat[at : at + BLOCK], len(seen)) for at in range(0, SIZE, BLOCK)]
    if len(seen) > 256:
        raise SystemExit(f"{len(seen)} different blocks, and a byte counts 256; make unicode_block_of 16 bits wide")
    return numbers, list(seen)


def unicode_version() -> str:
    """What the documentation of the installed `regex` says it supports."""
    about = importlib.metadata.metadata("regex").get_payload()
    found = re.search(r"supports Unicode (\d+\.\d+\.\d+)", str(about))
    if found is None:
        raise SystemExit("regex no longer says which Unicode it supports; look it up and change this function")
    return found[1]


def rows(numbers: list[int]) -> str:
    """The body of an array."""
    lines = (numbers[at : at + 32] for at in range(0, len(numbers), 32))
    return "".join("    " + ",".join(map(str, line)) + ",\n" for line in lines)


def source() -> str:
    """The text of the file."""
    numbers, blocks = two_stages(classes())
    version, library = unicode_version(), importlib.metadata.version("regex")
    return (
        "/* Written by tools/unicode_table.py; do not edit.\n"
        f"   The classes of Unicode {version}, as regex {library} has them; char_class.h says what the bits mean. */\n"
        '#include "char_class.h"\n\n'
        f'const char octad_unicode_version[] = "{version}";\n\n'
        f"const uint8_t octad_block_of[{len(numbers)}] = {{\n{rows(numbers)}}};\n\n"
        f"const uint8_t octad_blocks[{len(blocks)}][{BLOCK}] = {{\n"
        + "".join("  {\n" + rows(list(block)) + "  },\n" for block in blocks)
        + "};\n"
    )


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if TABLE.read_text() != source():
            sys.exit(
                f"{TABLE.name} is not what regex {importlib.metadata.version('regex')} says; run this without --check"
            )
        return
    TABLE.write_text(source())


if __name__ == "__main__":
    main()
