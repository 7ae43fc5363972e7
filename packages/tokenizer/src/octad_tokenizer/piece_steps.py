"""From a text to the pre-tokens of a SentencePiece vocabulary, and where a stream of it may be cut."""

from __future__ import annotations

from collections.abc import Callable

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.normalization import Normalizer
from octad_tokenizer.text_steps import (
    METASPACE,
    Splitter,
    Step,
    charsmap_of,
    normalizer_of,
    prepend_scheme,
    splitter_of,
    steps_in,
)

_LOCAL = frozenset(
    {"Precompiled", "Lowercase", "NFD", "NFKD", "StripAccents", "Strip", "BertNormalizer", "SentencePiece"}
)
_SPACES = (" {2,}", r"\s+")


class TextSteps:
    """A normaliser and a pre-tokeniser, as `tokenizer.json` writes them, or SentencePiece's own of a `.model`.

    Args:
        normalizer: a step of `text_steps`, or `{"type": "SentencePiece", ...}` of `sentencepiece_model`.
        pre_tokenizer: a step of `text_steps`.

    Raises:
        TokenizerError: a step that we cannot follow.
    """

    def __init__(self, normalizer: Step | None, pre_tokenizer: Step | None) -> None:
        self.normalizer, self.pre_tokenizer = normalizer, pre_tokenizer
        is_own = normalizer is not None and normalizer["type"] == "SentencePiece"
        self.normalize: Normalizer = _sentencepiece(normalizer) if normalizer and is_own else normalizer_of(normalizer)
        self._split: Splitter = splitter_of(pre_tokenizer)
        self.adds_space = _adds_space(normalizer, pre_tokenizer)
        self._strips = any(step["type"] in ("Strip", "StripAccents") for step in steps_in(normalizer))
        self._may_be_cut: bool | None = None

    def __reduce__(self) -> tuple[type[TextSteps], tuple[Step | None, Step | None]]:
        return TextSteps, (self.normalizer, self.pre_tokenizer)  # the functions cannot be pickled

    def words(self, text: str, is_first: bool) -> list[str]:
        """The pre-tokens of a text without special tokens; `is_first` if it is where the whole text begins.

        Where a step strips the first character, what is left does not begin the text: so Hugging Face has it.
        """
        if not text:
            return []
        is_first = is_first and not (self._strips and self.normalize(text[0]) == "")
        return [word for word in self._split(self.normalize(text), is_first) if word]

    @property
    def may_be_cut(self) -> bool:
        """Whether a text may be cut before a space between two letters: found out at the first question."""
        if self._may_be_cut is None:
            self._may_be_cut = self._find_out()
        return self._may_be_cut

    def _find_out(self) -> bool:
        """Each half, encoded alone, must give the words that it gives in the whole."""
        steps = steps_in(self.normalizer)
        spaces = steps_in(self.pre_tokenizer)
        marks = [step for step in spaces if step["type"] == "Metaspace"]
        is_split = any(step["type"] in ("WhitespaceSplit", "BertPreTokenizer") for step in spaces)
        is_split = is_split or any(step.get("split", True) for step in marks)
        if any(step["type"] == "SentencePiece" for step in steps):
            is_local = all(step["remove_extra_whitespaces"] and step["add_dummy_prefix"] for step in steps)
        else:
            is_local = all(_is_local(step) for step in steps) and all(prepend_scheme(m) == "always" for m in marks)
        maps = [charsmap_of(step) for step in steps if step.get("precompiled_charsmap")]
        return is_split and is_local and all(charsmap.keeps_spaces_apart() for charsmap in maps)


def _is_local(step: Step) -> bool:
    if step["type"] == "Replace":
        found = step["pattern"]
        return found.get("Regex") in _SPACES or ("String" in found and " " not in found["String"])
    return step["type"] in _LOCAL


def _adds_space(normalizer: Step | None, pre_tokenizer: Step | None) -> bool:
    marks = [step for step in steps_in(pre_tokenizer) if step["type"] == "Metaspace"]
    own = [step for step in steps_in(normalizer) if step["type"] in ("SentencePiece", "Prepend")]
    return any(prepend_scheme(step) != "never" for step in marks) or any(
        step.get("add_dummy_prefix", True) for step in own
    )


def _sentencepiece(step: Step) -> Normalizer:
    """SentencePiece's normaliser: the character map, no extra spaces, marks for spaces, one in front."""
    mapped: Callable[[str], str] = charsmap_of(step).longest_first if step.get("precompiled_charsmap") else str
    removes, adds = bool(step["remove_extra_whitespaces"]), bool(step["add_dummy_prefix"])
    if not step.get("escape_whitespaces", True):
        raise TokenizerError("the model keeps spaces as they are (escape_whitespaces is false); we mark them")

    def run(text: str) -> str:
        text = mapped(text)
        if removes:
            text = " ".join(part for part in text.split(" ") if part)
        if not text:
            return ""
        return (METASPACE if adds else "") + text.replace(" ", METASPACE)

    return run
