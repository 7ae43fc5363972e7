"""From WARC, HTML, PDF and text to token shards, with the reason for every document that was dropped.

A `Document` is a text with a stable id. Sources yield them (`read_documents`, `standard_library_documents`,
`hub_documents`), and functions take them: `near_duplicates`, `exact_duplicates`, `held_out`, `detect_language`,
`compute_signals`, `find_personal_data`. For a corpus, a `Recipe` names sources and steps, and `run` does them batch by
batch, on one machine or many, going on where it was stopped:

    done = run(Recipe.load("fineweb").from_sources(Files(("crawl/*.warc.gz",))), "out")

Then, with any tokenizer:

    shards = write_shards((encode(d.text) for d in train), "shards", vocab_size=8192, tokenizer_fingerprint="...")
    reader = BatchReader(shards, batch_size=32, seq_len=256, seed=0)
    batch = next(reader)  # int64, (32, 257): inputs batch[:, :-1], targets batch[:, 1:]
    state = reader.state_dict()  # JSON; `load_state_dict` goes on with the very next batch, on any number of processes
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octad_data.batches import BatchReader, PackedBatch
    from octad_data.bloom import BloomFilter
    from octad_data.bloom_step import BloomDuplicates
    from octad_data.c4_lines import C4Lines, clean_lines
    from octad_data.classifier import Classifier, ClassifierConfig
    from octad_data.classifier_training import choose_config, cross_validate, train_classifier
    from octad_data.clusters import Clusters, UnionFind
    from octad_data.decontamination import ContaminationIndex, Decontaminate, found_items, read_items
    from octad_data.docling_reader import extract_pdf_docling
    from octad_data.document import Document
    from octad_data.encoding import decode_text
    from octad_data.engine import Processes, Run, run
    from octad_data.epub import extract_epub
    from octad_data.errors import DataError
    from octad_data.exact import exact_duplicates, normalised, unique_documents, unique_paragraphs
    from octad_data.exact_duplicate_step import DuplicatePieces, ExactDuplicates
    from octad_data.html import ExtractHtml, HtmlPage, extract_html, extract_page
    from octad_data.hub import hub_documents
    from octad_data.importance import ImportanceModel, resampled
    from octad_data.inputs import Files, Hub, StandardLibrary
    from octad_data.labelled import read_labelled
    from octad_data.language import DetectLanguage, detect_language, language_mix
    from octad_data.latex import extract_latex
    from octad_data.long_texts import passages
    from octad_data.markup import extract_markdown
    from octad_data.minhash import MinHash, near_duplicates
    from octad_data.mixture import Mixture, planned, temperature_weights
    from octad_data.mixture_search import search_mixture
    from octad_data.near_duplicate_step import NearDuplicates
    from octad_data.ngram_model import NgramModel, train_ngram_model
    from octad_data.office import extract_docx, extract_odt
    from octad_data.pdf import PdfText, extract_pdf, read_pdf
    from octad_data.permutation import Permutation
    from octad_data.perplexity import Perplexity, bucket_limits
    from octad_data.personal_data import PersonalData, find_personal_data, mask
    from octad_data.progress import Bar
    from octad_data.proxy_model import ByteNgrams
    from octad_data.raw_record import RawRecord
    from octad_data.read import read_documents
    from octad_data.recipe import Batching, Recipe, Tokens, preset_names
    from octad_data.report import ReadReport
    from octad_data.rules import PRESETS, Keep, Rule, Rules
    from octad_data.run_report import write_report
    from octad_data.score import Score
    from octad_data.semantic import semantic_duplicates
    from octad_data.semantic_step import SemanticDuplicates
    from octad_data.shard_writer import ShardWriter, TokenDocument, write_shards
    from octad_data.shards import Manifest, ShardFile, TokenShards
    from octad_data.signals import Signals, compute_signals
    from octad_data.simhash import SimHash, simhash_pairs
    from octad_data.simhash_step import SimHashDuplicates
    from octad_data.split import Split, held_out, is_held_out
    from octad_data.standard_library import standard_library_documents
    from octad_data.step import Barrier, Resources, Step
    from octad_data.substring_step import DuplicateSubstrings
    from octad_data.substrings import CutRepeats, duplicate_substrings, duplicate_substrings_of_shards, remove_spans
    from octad_data.targeting import SelectLike
    from octad_data.texts import Texts
    from octad_data.url_lists import UrlList
    from octad_data.word_lists import WordList, WordMatcher
    from octad_data.writing_systems import scripts

__all__ = [
    "PRESETS",
    "Bar",
    "Barrier",
    "BatchReader",
    "Batching",
    "BloomDuplicates",
    "BloomFilter",
    "ByteNgrams",
    "C4Lines",
    "Classifier",
    "ClassifierConfig",
    "Clusters",
    "ContaminationIndex",
    "CutRepeats",
    "DataError",
    "Decontaminate",
    "DetectLanguage",
    "Document",
    "DuplicatePieces",
    "DuplicateSubstrings",
    "ExactDuplicates",
    "ExtractHtml",
    "Files",
    "HtmlPage",
    "Hub",
    "ImportanceModel",
    "Keep",
    "Manifest",
    "MinHash",
    "Mixture",
    "NearDuplicates",
    "NgramModel",
    "PackedBatch",
    "PdfText",
    "Permutation",
    "Perplexity",
    "PersonalData",
    "Processes",
    "RawRecord",
    "ReadReport",
    "Recipe",
    "Resources",
    "Rule",
    "Rules",
    "Run",
    "Score",
    "SelectLike",
    "SemanticDuplicates",
    "ShardFile",
    "ShardWriter",
    "Signals",
    "SimHash",
    "SimHashDuplicates",
    "Split",
    "StandardLibrary",
    "Step",
    "Texts",
    "TokenDocument",
    "TokenShards",
    "Tokens",
    "UnionFind",
    "UrlList",
    "WordList",
    "WordMatcher",
    "bucket_limits",
    "choose_config",
    "clean_lines",
    "compute_signals",
    "cross_validate",
    "decode_text",
    "detect_language",
    "duplicate_substrings",
    "duplicate_substrings_of_shards",
    "exact_duplicates",
    "extract_docx",
    "extract_epub",
    "extract_html",
    "extract_latex",
    "extract_markdown",
    "extract_odt",
    "extract_page",
    "extract_pdf",
    "extract_pdf_docling",
    "find_personal_data",
    "found_items",
    "held_out",
    "hub_documents",
    "is_held_out",
    "language_mix",
    "mask",
    "near_duplicates",
    "normalised",
    "passages",
    "planned",
    "preset_names",
    "read_documents",
    "read_items",
    "read_labelled",
    "read_pdf",
    "remove_spans",
    "resampled",
    "run",
    "scripts",
    "search_mixture",
    "semantic_duplicates",
    "simhash_pairs",
    "standard_library_documents",
    "temperature_weights",
    "train_classifier",
    "train_ngram_model",
    "unique_documents",
    "unique_paragraphs",
    "write_report",
    "write_shards",
]

_NAMES = {
    "batches": (
        "BatchReader",
        "PackedBatch",
    ),
    "bloom": ("BloomFilter",),
    "bloom_step": ("BloomDuplicates",),
    "c4_lines": (
        "C4Lines",
        "clean_lines",
    ),
    "classifier": (
        "Classifier",
        "ClassifierConfig",
    ),
    "classifier_training": (
        "choose_config",
        "cross_validate",
        "train_classifier",
    ),
    "clusters": (
        "Clusters",
        "UnionFind",
    ),
    "decontamination": (
        "ContaminationIndex",
        "Decontaminate",
        "found_items",
        "read_items",
    ),
    "docling_reader": ("extract_pdf_docling",),
    "document": ("Document",),
    "encoding": ("decode_text",),
    "engine": (
        "Processes",
        "Run",
        "run",
    ),
    "epub": ("extract_epub",),
    "errors": ("DataError",),
    "exact": (
        "exact_duplicates",
        "normalised",
        "unique_documents",
        "unique_paragraphs",
    ),
    "exact_duplicate_step": (
        "DuplicatePieces",
        "ExactDuplicates",
    ),
    "html": (
        "ExtractHtml",
        "HtmlPage",
        "extract_html",
        "extract_page",
    ),
    "hub": ("hub_documents",),
    "importance": (
        "ImportanceModel",
        "resampled",
    ),
    "inputs": (
        "Files",
        "Hub",
        "StandardLibrary",
    ),
    "labelled": ("read_labelled",),
    "language": (
        "DetectLanguage",
        "detect_language",
        "language_mix",
    ),
    "long_texts": ("passages",),
    "latex": ("extract_latex",),
    "markup": ("extract_markdown",),
    "minhash": (
        "MinHash",
        "near_duplicates",
    ),
    "mixture": (
        "Mixture",
        "planned",
        "temperature_weights",
    ),
    "mixture_search": ("search_mixture",),
    "near_duplicate_step": ("NearDuplicates",),
    "ngram_model": (
        "NgramModel",
        "train_ngram_model",
    ),
    "office": (
        "extract_docx",
        "extract_odt",
    ),
    "pdf": (
        "PdfText",
        "extract_pdf",
        "read_pdf",
    ),
    "permutation": ("Permutation",),
    "perplexity": (
        "Perplexity",
        "bucket_limits",
    ),
    "personal_data": (
        "PersonalData",
        "find_personal_data",
        "mask",
    ),
    "progress": ("Bar",),
    "proxy_model": ("ByteNgrams",),
    "raw_record": ("RawRecord",),
    "read": ("read_documents",),
    "recipe": (
        "Batching",
        "Recipe",
        "Tokens",
        "preset_names",
    ),
    "report": ("ReadReport",),
    "rules": (
        "Keep",
        "PRESETS",
        "Rule",
        "Rules",
    ),
    "run_report": ("write_report",),
    "score": ("Score",),
    "semantic": ("semantic_duplicates",),
    "semantic_step": ("SemanticDuplicates",),
    "shard_writer": (
        "ShardWriter",
        "TokenDocument",
        "write_shards",
    ),
    "shards": (
        "Manifest",
        "ShardFile",
        "TokenShards",
    ),
    "signals": (
        "Signals",
        "compute_signals",
    ),
    "simhash_step": ("SimHashDuplicates",),
    "simhash": (
        "SimHash",
        "simhash_pairs",
    ),
    "split": (
        "Split",
        "held_out",
        "is_held_out",
    ),
    "standard_library": ("standard_library_documents",),
    "step": (
        "Barrier",
        "Resources",
        "Step",
    ),
    "substring_step": ("DuplicateSubstrings",),
    "substrings": (
        "CutRepeats",
        "duplicate_substrings",
        "duplicate_substrings_of_shards",
        "remove_spans",
    ),
    "targeting": ("SelectLike",),
    "texts": ("Texts",),
    "url_lists": ("UrlList",),
    "word_lists": (
        "WordList",
        "WordMatcher",
    ),
    "writing_systems": ("scripts",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """A public name, whose module is imported at its first use: all at once would need every extra."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
