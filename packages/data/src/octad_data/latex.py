r"""LaTeX sources to running text, in one pass from left to right: no command is looked at twice.

`\input` is not followed: its file is a document of its own.
"""

import re
import unicodedata
from bisect import bisect_left

ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328", "r": "\u030a", "d": "\u0323",
    "b": "\u0331",
}  # fmt: skip
SIGNS = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "aa": "å", "AA": "Å",
    "i": "ı", "j": "ȷ", "ldots": "…", "dots": "…", "textellipsis": "…", "LaTeX": "LaTeX", "TeX": "TeX", "S": "§",
    "P": "¶", "copyright": "©", "pounds": "£", "euro": "€", "dag": "†", "ddag": "‡", "textbackslash": "\\",
    "textasciitilde": "~", "textasciicircum": "^", "textendash": "–", "textemdash": "—", "textquotedblleft": "“",
    "textquotedblright": "”", "textquoteleft": "‘", "textquoteright": "’", "slash": "/", "quad": " ", "qquad": " ",
    "newline": "\n", "linebreak": "\n", "par": "\n\n", "noindent": "", "textbar": "|", "textless": "<",
    "textgreater": ">", "guillemotleft": "«", "guillemotright": "»", "glqq": "„", "grqq": "“", "today": "",
}  # fmt: skip
SYMBOLS = {
    "\\": "\n", "&": "&", "%": "%", "$": "$", "#": "#", "_": "_", "{": "{", "}": "}", " ": " ", "\n": " ", ",": " ",
    ";": " ", ":": " ", "!": "", "-": "", "/": "", "@": "", "*": "",
}  # fmt: skip
LIGATURES = {"``": "“", "''": "”", "---": "—", "--": "–", "~": " ", "`": "‘"}
_SILENT = """
    label cite citep citet citealp citeauthor citeyear nocite ref eqref pageref autoref cref Cref vref input include
    includegraphics bibliography bibliographystyle usepackage documentclass vspace hspace setlength addtolength
    setcounter addtocounter renewenvironment newenvironment newtheorem index glossary thispagestyle pagestyle
    footnotemark hypersetup graphicspath addbibresource printbibliography title author date maketitle tableofcontents
    bibitem hyphenation definecolor color pagenumbering markboth DeclareMathOperator theoremstyle geometry
"""
SILENT = frozenset(_SILENT.split())
HEADINGS = frozenset(
    ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph", "caption")
)
LEFT_OUT = frozenset(
    ("figure", "table", "tabular", "tabularx", "longtable", "thebibliography", "comment", "tikzpicture", "filecontents")
)
AS_IT_IS = frozenset(("verbatim", "Verbatim", "lstlisting", "minted"))
FORMULAS = frozenset(
    ("equation", "align", "gather", "multline", "eqnarray", "displaymath", "math", "alignat", "flalign")
)
MAX_MACRO = 1000  # characters of a macro that is put in its place
MAX_EXPANSIONS, MAX_DEPTH = 20_000, 8

TOKEN = re.compile(
    r"\\(?P<name>[a-zA-Z]+)\*?|\\(?P<symbol>.)|(?P<comment>%[^\n]*(?:\n[ \t]*)?)|(?P<mark>\$\$|\$|[{}])"
    r"|(?P<ligature>``|''|---|--|[~`])|(?P<plain>[^\\%${}~`'-]+|['-]|\\)",
    re.DOTALL,
)
SPACE = re.compile(r"[ \t]*\n?[ \t]*")
INLINE = re.compile(r"\$(?:[^$\\\n]|\\.|\n(?![ \t]*\n))+\$")
ACCENTED = re.compile(r"\s*(?:\{\s*\\?([a-zA-Zıȷ]?)\s*\}|\\?([a-zA-Z]))")
DEFINES = re.compile(r"\\(?:re)?newcommand\*?|\\providecommand\*?|\\def(?![a-zA-Z])")
DEFINITION = re.compile(r"\s*(?:\{\s*\\([a-zA-Z]+)\s*\}|\\([a-zA-Z]+))\s*(\[[^\]]*\])?(\[[^\]]*\])?\s*(?=\{)")
OPTIONAL = re.compile(r"[ \t]*\[([^\]\n]{0,500})\]")
DELIMITED = re.compile(r"(.)(.*?)\1")


def extract_latex(text: str) -> tuple[str, dict[str, str]]:
    r"""The running text, and title, author and date.

    Commands are undone, macros without arguments put in their places, comments, figures, tables, references and labels
    left out, formulas and verbatim text kept as they are, footnotes put in brackets. Paragraphs are lines.

    Args:
        text: a whole file or a part of one.
    Cost: linear, about 0.7 s a megabyte.
    """
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    reader = _Reader(text)
    metadata: dict[str, str] = {}
    for key in ("title", "author", "date"):
        found = re.search(rf"(?<!\\)\\{key}\s*(?:\[[^\]]*\]\s*)?(?=\{{)", text)
        if found and (end := reader.closing(found.end())) >= 0:
            value = " ".join(_Reader(text[found.end() + 1 : end], reader.macros).read().split())
            metadata |= {key: value} if value else {}
    begin = text.find("\\begin{document}")
    if begin >= 0:
        reader.define_macros(begin)
        reader.place = begin + len("\\begin{document}")
        end = text.find("\\end{document}", begin)
        reader.end = len(text) if end < 0 else end
    paragraphs = re.split(r"\n[ \t]*\n\s*", reader.read())
    lines = (re.sub(r"[ \t]+", " ", re.sub(r"[ \t]*\n[ \t]*(?!- )", " ", piece)).strip() for piece in paragraphs)
    joined = "\n".join(line for line in lines if line)
    kept = reader.as_it_is

    def block(number: "re.Match[str]") -> str:
        return kept[int(number[1])]

    return re.sub("\0(\\d+)\0", block, joined), metadata


class _Reader:
    """A place in a text, and what was read up to there."""

    def __init__(self, text: str, macros: dict[str, str] | None = None, depth: int = 0) -> None:
        self.text, self.place, self.end, self.depth = text, 0, len(text), depth
        self.macros: dict[str, str] = {} if macros is None else macros
        self.written: list[str] = []
        self.expansions = 0
        self._closing: dict[int, int] | None = None
        self._ends: dict[str, list[int]] = {}
        self.as_it_is: list[str] = []  # verbatim blocks, of which the text holds the numbers
        self._after: dict[int, str] = {}  # what is written where a group closes

    def read(self) -> str:
        """From the place to the end."""
        while self.place < self.end:
            token = TOKEN.match(self.text, self.place)
            assert token is not None  # any character is some token
            self.place = token.end()
            kind = token.lastgroup
            if kind == "plain":
                self.written.append(token[0])
            elif kind == "name":
                self._command(token["name"])
            elif kind == "symbol":
                self._symbol(token["symbol"])
            elif kind == "mark":
                self._mark(token["mark"], token.start())
            elif kind == "ligature":
                self.written.append(LIGATURES[token[0]])
        return "".join(self.written)

    def closing(self, place: int) -> int:
        """Where the group that opens at a place closes, -1 where it does not."""
        if self._closing is None:
            self._closing, open_groups = {}, list[int]()
            for found in re.finditer(r"\\.|[{}]", self.text, re.DOTALL):
                if found[0] == "{":
                    open_groups.append(found.start())
                elif found[0] == "}" and open_groups:
                    self._closing[open_groups.pop()] = found.start()
        return self._closing.get(place, -1)

    def find(self, wanted: str, start: int) -> int:
        """As `str.find`, but each string is looked for in the whole text only once."""
        if wanted not in self._ends:
            self._ends[wanted] = [found.start() for found in re.finditer(re.escape(wanted), self.text)]
        places = self._ends[wanted]
        number = bisect_left(places, start)
        return places[number] if number < len(places) and places[number] < self.end else -1

    def define_macros(self, end: int) -> None:
        """Remember the macros of the preamble."""
        for found in re.finditer(
            r"\\(?:re|provide)?newcommand\*?|\\def(?![a-zA-Z])|\\providecommand\*?", self.text[:end]
        ):
            self._define(found.end())

    def _define(self, place: int) -> int:
        """Remember a macro without arguments; the place behind its definition."""
        head = DEFINITION.match(self.text, place)
        if head is None or (close := self.closing(head.end())) < 0:
            return place
        body = self.text[head.end() + 1 : close]
        if not head[3] and "#" not in body and len(body) <= MAX_MACRO:
            self.macros[head[1] or head[2]] = body
        return close + 1

    def _command(self, name: str) -> None:
        if name in ("begin", "end"):
            self._environment(name)
        elif name in ("newcommand", "renewcommand", "providecommand", "def"):
            self.place = self._define(self.place)
        elif name in self.macros:
            self._expand(name)
        elif name in ACCENTS and (self.text[self.place : self.place + 1] in ("{", " ")):
            self._accent(name)
        elif name in SIGNS:
            self.written.append(SIGNS[name])
            self._skip_space()
        elif name == "item":
            mark = self._optional()
            self.written.append(f"\n- {mark + ' ' if mark else ''}")
            self._skip_space()
        elif name in ("footnote", "thanks"):
            self._optional()
            self._group(" (", ")")
        elif name == "href":
            self._skip_group()
        elif name == "verb":
            found = DELIMITED.match(self.text, self.place)
            if found:
                self.written.append(found[2])
                self.place = found.end()
        elif name in SILENT:
            self._skip_arguments()
        elif name in HEADINGS:
            self._optional()
            self._group("\n\n", "\n\n")
        else:
            self._optional()
            if self.text[self.place : self.place + 1] not in ("{", ""):
                self._skip_space()

    def _symbol(self, symbol: str) -> None:
        if symbol in "[(":
            self._formula("\\" + symbol, "\\]" if symbol == "[" else "\\)")
        elif symbol in ACCENTS:
            self._accent(symbol)
        else:
            if symbol == "\\":
                self._optional()
            self.written.append(SYMBOLS.get(symbol, symbol))

    def _mark(self, mark: str, start: int) -> None:
        if mark == "$$":
            self._formula("$$", "$$")
        elif mark == "$":
            found = INLINE.match(self.text, start, self.end)
            self.written.append(found[0] if found else "$")
            self.place = found.end() if found else self.place
        elif mark == "}":
            self.written.append(self._after.get(start, ""))

    def _formula(self, opening: str, closing: str) -> None:
        end = self.find(closing, self.place)
        if end < 0:
            self.written.append(opening if opening == "$$" else "")
            return
        self.written.append(opening + self.text[self.place : end] + closing)
        self.place = end + len(closing)

    def _environment(self, which: str) -> None:
        close = self.closing(self.place)
        if close < 0:
            return
        name, start = self.text[self.place + 1 : close], self.place - len(which) - 1
        self.place, bare = close + 1, name.rstrip("*")
        if which == "end" or bare not in LEFT_OUT | AS_IT_IS | FORMULAS:
            self.written.append("\n")
            self._optional()
            return
        end = self.find(f"\\end{{{name}}}", self.place)
        if end < 0:
            return
        after = end + len(name) + 6
        if bare in FORMULAS:
            self.written.append(self.text[start:after])
        elif bare in AS_IT_IS:
            self._optional()
            self.written.append(f"\n\n\0{len(self.as_it_is)}\0\n\n")
            self.as_it_is.append(self.text[self.place : end].strip("\n"))
        self.place = after

    def _expand(self, name: str) -> None:
        self.expansions += 1
        if self.depth >= MAX_DEPTH or self.expansions > MAX_EXPANSIONS:
            return
        inner = _Reader(self.macros[name], self.macros, self.depth + 1)
        inner.expansions, inner.as_it_is = self.expansions, self.as_it_is
        self.written.append(inner.read())
        self.expansions = inner.expansions
        self._skip_space()

    def _accent(self, accent: str) -> None:
        found = ACCENTED.match(self.text, self.place)
        if found:
            letter = (found[1] or found[2] or "").replace("ı", "i").replace("ȷ", "j")
            self.written.append(unicodedata.normalize("NFC", letter + ACCENTS[accent]) if letter else "")
            self.place = found.end()

    def _group(self, before: str, after: str) -> None:
        """Put two strings around what the group that begins here holds."""
        close = self.closing(self.place)
        if close >= 0:
            self.written.append(before)
            self._after[close] = after
            self.place += 1

    def _optional(self) -> str:
        """What stands in square brackets here, which is passed over."""
        found = OPTIONAL.match(self.text, self.place)
        if found is None:
            return ""
        self.place = found.end()
        return found[1]

    def _skip_group(self) -> bool:
        place = SPACE.match(self.text, self.place).end()  # type: ignore[union-attr]  # it always matches
        close = self.closing(place) if self.text.startswith("{", place) else -1
        self.place = close + 1 if close >= 0 else self.place
        return close >= 0

    def _skip_arguments(self) -> None:
        for _ in range(4):
            while self._optional():
                pass
            if not self._skip_group():
                return

    def _skip_space(self) -> None:
        """The space that ends a command's name; `{}` there means that none is to be skipped."""
        if self.text.startswith("{}", self.place):
            self.place += 2
            return
        place = SPACE.match(self.text, self.place).end()  # type: ignore[union-attr]  # it always matches
        self.place = place if not self.text.startswith("\n", place) else self.place
