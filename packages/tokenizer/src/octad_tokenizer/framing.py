"""What a model wants around its texts: `[CLS] a [SEP] b [SEP]` for BERT, `a </s>` for T5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from octad_tokenizer.errors import TokenizerError


@dataclass(frozen=True)
class Framing:
    """Templates for one text and for a pair.

    Args:
        single: each part ("A", type id) for the text, or (name of a special token, type id).
        pair: the same with "A" and "B".

    Raises:
        TokenizerError: `single` does not hold "A" once, or `pair` not "A" and "B" once each.
    """

    single: tuple[tuple[str, int], ...] = (("A", 0),)
    pair: tuple[tuple[str, int], ...] = (("A", 0), ("B", 1))

    def __post_init__(self) -> None:
        for template, texts in ((self.single, ["A"]), (self.pair, ["A", "B"])):
            if sorted(part for part, _ in template if part in ("A", "B")) != texts:
                raise TokenizerError(f"the template {template} must hold each of {texts} once, and no other text")

    def apply(
        self, special: Mapping[str, int], first: Sequence[int], second: Sequence[int] | None = None
    ) -> tuple[list[int], list[int]]:
        """The ids with what goes around them, and the type id of each (BERT's segments).

        Raises:
            TokenizerError: a special token of the template is not in `special`.
        """
        ids: list[int] = []
        types: list[int] = []
        texts = {"A": first, "B": second or ()}
        for part, type_id in self.single if second is None else self.pair:
            if part not in texts and part not in special:
                raise TokenizerError(f"the template names {part!r}; the special tokens are {list(special)}")
            piece = texts[part] if part in texts else [special[part]]
            ids += piece
            types += [type_id] * len(piece)
        return ids, types

    @classmethod
    def read(cls, step: Mapping[str, Any] | None) -> Framing:
        """The framing of a `post_processor`.

        Raises:
            TokenizerError: a kind other than `BertProcessing` and `TemplateProcessing`.
        """
        if step is None:
            return cls()
        if step["type"] == "BertProcessing":
            begin, end = step["cls"][0], step["sep"][0]
            return cls(((begin, 0), ("A", 0), (end, 0)), ((begin, 0), ("A", 0), (end, 0), ("B", 1), (end, 1)))
        if step["type"] != "TemplateProcessing":
            raise TokenizerError(f"its post-processor is {step['type']!r}; BERT's or a TemplateProcessing is read")
        return cls(*(tuple(_part(part) for part in step[name]) for name in ("single", "pair")))

    def write(self, special: Mapping[str, int]) -> dict[str, Any] | None:
        """The `post_processor`; None where there is nothing around the texts."""
        if self == Framing():
            return None
        names = sorted({part for part, _ in (*self.single, *self.pair)} - {"A", "B"})
        return {
            "type": "TemplateProcessing",
            "single": [_written(*part) for part in self.single],
            "pair": [_written(*part) for part in self.pair],
            "special_tokens": {name: {"id": name, "ids": [special[name]], "tokens": [name]} for name in names},
        }


BERT_FRAMING = Framing(
    (("[CLS]", 0), ("A", 0), ("[SEP]", 0)), (("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1))
)
"""`[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`."""

T5_FRAMING = Framing((("A", 0), ("</s>", 0)), (("A", 0), ("</s>", 0), ("B", 0), ("</s>", 0)))
"""`a </s>` and `a </s> b </s>`."""


def _part(part: Mapping[str, Any]) -> tuple[str, int]:
    ((kind, content),) = part.items()
    if kind == "SpecialToken" and content["id"] in ("A", "B"):
        raise TokenizerError(f"its post-processor has a special token {content['id']!r}, which means a text here")
    return content["id"], content["type_id"]


def _written(part: str, type_id: int) -> dict[str, Any]:
    return {"Sequence" if part in ("A", "B") else "SpecialToken": {"id": part, "type_id": type_id}}
