"""The names that recipes use, and where each lives; nothing is imported before it is named."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from octad_data.errors import DataError
from octad_data.toml_values import closest

SOURCES: Mapping[str, str] = {
    "files": "octad_data.inputs:Files",
    "standard_library": "octad_data.inputs:StandardLibrary",
    "hub": "octad_data.inputs:Hub",
}
STEPS: Mapping[str, str] = {
    "bloom_duplicates": "octad_data.bloom_step:BloomDuplicates",
    "c4_lines": "octad_data.c4_lines:C4Lines",
    "cut_repeats": "octad_data.substrings:CutRepeats",
    "decontaminate": "octad_data.decontamination:Decontaminate",
    "detect_language": "octad_data.language:DetectLanguage",
    "duplicate_pieces": "octad_data.exact_duplicate_step:DuplicatePieces",
    "duplicate_substrings": "octad_data.substring_step:DuplicateSubstrings",
    "exact_duplicates": "octad_data.exact_duplicate_step:ExactDuplicates",
    "extract_html": "octad_data.html:ExtractHtml",
    "keep": "octad_data.rules:Keep",
    "near_duplicates": "octad_data.near_duplicate_step:NearDuplicates",
    "perplexity": "octad_data.perplexity:Perplexity",
    "personal_data": "octad_data.personal_data:PersonalData",
    "rules": "octad_data.rules:Rules",
    "score": "octad_data.score:Score",
    "select_like": "octad_data.targeting:SelectLike",
    "simhash": "octad_data.simhash:SimHash",
    "simhash_duplicates": "octad_data.simhash_step:SimHashDuplicates",
    "semantic_duplicates": "octad_data.semantic_step:SemanticDuplicates",
    "signals": "octad_data.signals:Signals",
    "url_list": "octad_data.url_lists:UrlList",
    "word_list": "octad_data.word_lists:WordList",
}


def find(name: str, known: Mapping[str, str], what: str) -> Any:
    """The class of a name, or of `module:Class` for somebody's own.

    Raises:
        DataError: no such name, module or class.
    """
    place = name if ":" in name else known.get(name)
    if place is None:
        raise DataError(f"unknown {what} {name!r}; {closest(name, known)} (your own: 'module:Class')")
    module, _, attribute = place.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise DataError(f"{what} {name!r} cannot be imported: {error}") from error
