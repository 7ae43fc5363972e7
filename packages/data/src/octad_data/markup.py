"""Markdown sources to the text that a reader would see."""

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
