"""Markdown and LaTeX sources to the text that a reader would see."""

import re

FRONT_MATTER = re.compile(r"\A---\s*\n(.*?\n)(?:---|\.\.\.)\s*(?:\n|\Z)", re.DOTALL)
FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})[^\n]*\n(.*?)(?:^ {0,3}\2[`~]*\s*$|\Z)", re.DOTALL | re.MULTILINE)
IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)")
LINK = re.compile(r"\[([^\]\n]+)\](?:\([^)\n]*\)|\[[^\]\n]*\])")
REFERENCE = re.compile(r"^ {0,3}\[[^\]\n]+\]:[ \t]*\S+.*$\n?", re.MULTILINE)
EMPHASIS = re.compile(r"(?<![\w*_])(\*{1,3}|_{1,3})(?=\S)([^*_\n]+?)(?<=\S)\1(?![\w*_])")
INLINE_CODE = re.compile(r"(`+)(.+?)\1")
RULE = re.compile(
    r"^ {0,3}(?:-[ \t]*){3,}$|^ {0,3}(?:\*[ \t]*){3,}$|^ {0,3}(?:_[ \t]*){3,}$|^ {0,3}=+[ \t]*$", re.MULTILINE
)
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.MULTILINE)
QUOTE = re.compile(r"^ {0,3}>[ \t]?", re.MULTILINE)
TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>\n]*>", re.DOTALL)
FIELD = re.compile(r"^(title|author|date|lang(?:uage)?)\s*:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE | re.IGNORECASE)


def split_front_matter(text: str) -> tuple[str, dict[str, str]]:
    """The text behind YAML front matter, and title, author, date and language in it."""
    metadata: dict[str, str] = {}
    front = FRONT_MATTER.match(text)
    if front is None:
        return text, metadata
    for key, value in FIELD.findall(front[1]):
        if value:
            metadata["language" if key.lower().startswith("lang") else key.lower()] = value
    return text[front.end() :], metadata


def extract_markdown(text: str, keep_code: bool = True) -> tuple[str, dict[str, str]]:
    """The text without marks: links by their words, headings and quotes as lines; fences go or keep their code.

    Args:
        text: Markdown, with YAML front matter perhaps, whose title, author, date and language become metadata.
        keep_code: of fenced blocks.
    """
    text, metadata = split_front_matter(text)
    code: list[str] = []

    def put_by(found: "re.Match[str]") -> str:
        code.append(found[3].rstrip("\n") if keep_code else "")
        return f"\0{len(code) - 1}\0\n"

    text = FENCE.sub(put_by, text.replace("\0", ""))
    for pattern, new in (
        (REFERENCE, ""), (RULE, ""), (HEADING, r"\1"), (QUOTE, ""), (IMAGE, r"\1"), (LINK, r"\1"), (TAG, ""),
        (INLINE_CODE, r"\2"), (EMPHASIS, r"\2"),
    ):  # fmt: skip
        text = pattern.sub(new, text)
    text = re.sub(r"\\([\\`*_{}\[\]()#+.!|>-])", r"\1", text)
    text = re.sub("\0(\\d+)\0", lambda found: code[int(found[1])], text)
    return re.sub(r"\n{3,}", "\n\n", text).strip(), metadata


COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*$\n?", re.MULTILINE)
BODY = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.DOTALL)
DROPPED = re.compile(
    r"\\begin\{(figure\*?|table\*?|tabular\*?|thebibliography|comment|lstlisting|tikzpicture)\}.*?\\end\{\1\}",
    re.DOTALL,
)
SILENT = re.compile(
    r"\\(?:label|cite\w*|ref|eqref|pageref|input|include|includegraphics|bibliography\w*|usepackage|documentclass"
    r"|vspace|hspace|setlength|newcommand|renewcommand|index|thispagestyle|pagestyle|footnotemark)\*?"
    r"(?:\s*\[[^\]]*\])*(?:\s*\{[^{}]*\}){0,3}"
)
ITEM_MARK = re.compile(r"\\item\s*(?:\[([^\]]*)\])?\s*")
ARGUMENT = re.compile(r"\\[a-zA-Z]+\*?(?:\[[^\]]*\])?\{([^{}]*)\}")
MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]+(?:\n[^$\n]+)*\$|\\\[.*?\\\]|\\\(.*?\\\)", re.DOTALL)
MATH_BLOCK = re.compile(r"\\begin\{((?:equation|align|gather|multline|eqnarray)\*?)\}.*?\\end\{\1\}", re.DOTALL)
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[^{}]*\}(?:\[[^\]]*\])?")
COMMAND = re.compile(r"\\[a-zA-Z]+\*?(?:\[[^\]]*\])?")
ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "c": "\u0327", "v": "\u030c", "u": "\u0306", "H": "\u030b", "k": "\u0328", "r": "\u030a",
}  # fmt: skip
ACCENT = re.compile(r"""\\(['`^"~=.]|[cvuHkr](?=[\s{]))\s*(?:\{\\?([a-zA-Z])\}|([a-zA-Z]))""")
SIGNS = {
    r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}", r"\\": "\n", "~": " ",
    "``": "“", "''": "”", "---": "—", "--": "–", r"\ss": "ß", r"\ae": "æ", r"\o": "ø", r"\l": "ł", r"\ldots": "…",
    r"\dots": "…", r"\LaTeX": "LaTeX", r"\TeX": "TeX", r"\ ": " ", r"\,": " ", r"\;": " ", r"\!": "", r"\-": "",
}  # fmt: skip


def extract_latex(text: str) -> tuple[str, dict[str, str]]:
    r"""The running text: commands undone, comments, figures and tables left out, formulas kept as they are.

    `\input` is not followed: its file is a document of its own.

    Args:
        text: a whole file or a part of one.
    """
    import unicodedata

    text = COMMENT.sub(r"\1", text.replace("\0", ""))
    metadata = {}
    for key in ("title", "author", "date"):
        found = re.search(rf"\\{key}\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}", text)
        if found:
            metadata[key] = " ".join(COMMAND.sub("", found[1]).replace("{", "").replace("}", "").split())
    body = BODY.search(text)
    text = body[1] if body else text
    math: list[str] = []

    def put_by(found: "re.Match[str]") -> str:
        math.append(found[0])
        return f"\0{len(math) - 1}\0"

    text = DROPPED.sub("", text)
    text = MATH.sub(put_by, MATH_BLOCK.sub(put_by, text))
    text = ACCENT.sub(lambda m: unicodedata.normalize("NFC", (m[2] or m[3]) + ACCENTS[m[1]]), text)
    text = SILENT.sub("", text)
    text = ITEM_MARK.sub(lambda m: f"\n- {m[1] + ' ' if m[1] else ''}", text)
    for sign in sorted(SIGNS, key=len, reverse=True):
        if sign[0] == "\\" and sign[-1].isalpha():
            text = re.sub(re.escape(sign) + r"(?![a-zA-Z])(?:\{\}| )?", lambda m, sign=sign: SIGNS[sign], text)  # type: ignore[misc]
        else:
            text = text.replace(sign, SIGNS[sign])
    text = ENVIRONMENT.sub("\n", text)
    for _ in range(8):  # commands inside commands
        text, count = ARGUMENT.subn(r"\1", text)
        if not count:
            break
    text = COMMAND.sub("", text).replace("{", "").replace("}", "")
    text = re.sub("\0(\\d+)\0", lambda m: math[int(m[1])], text)
    paragraphs = (re.sub(r"[ \t]*\n[ \t]*(?!- )", " ", piece).strip() for piece in re.split(r"\n[ \t]*\n", text))
    return "\n".join(re.sub(r"[ \t]+", " ", piece) for piece in paragraphs if piece), metadata
