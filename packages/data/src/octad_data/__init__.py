"""From files and web pages to token shards: extraction, duplicates, splits, and a reader that resumes exactly.

A `Document` is a text with a stable id. Sources yield them: `standard_library_documents` (on every machine),
`read_documents` (a file or folder: text, HTML, PDF, JSON lines) and `hub_documents`. Filters take and yield them:
`unique_documents` and `unique_paragraphs` drop exact repeats, `near_duplicates` finds what is nearly the same, and
`held_out` splits so that nothing of a duplicate cluster lands on both sides. Then, with any tokenizer:

    shards = write_shards((encode(d.text) for d in train), "shards", vocab_size=8192, tokenizer_fingerprint="...")
    reader = BatchReader(shards, batch_size=32, seq_len=256, seed=0)
    batch = next(reader)  # int64, (32, 257): inputs batch[:, :-1], targets batch[:, 1:]
    state = reader.state_dict()  # JSON; `load_state_dict` goes on with the very next batch, on any number of processes
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octad_data.batches import BatchReader
    from octad_data.clusters import Clusters, UnionFind
    from octad_data.document import Document
    from octad_data.encoding import decode_text
    from octad_data.engine import Processes, Run, run
    from octad_data.errors import DataError
    from octad_data.exact import exact_duplicates, normalised, unique_documents, unique_paragraphs
    from octad_data.html import extract_html
    from octad_data.hub import hub_documents
    from octad_data.minhash import MinHash, near_duplicates
    from octad_data.passages import passages
    from octad_data.pdf import extract_pdf
    from octad_data.permutation import Permutation
    from octad_data.progress import Bar
    from octad_data.read import read_documents
    from octad_data.recipe import Batching, Recipe, Tokens, preset_names
    from octad_data.report import ReadReport
    from octad_data.shard_writer import ShardWriter, TokenDocument, write_shards
    from octad_data.shards import Manifest, ShardFile, TokenShards
    from octad_data.split import Split, held_out, is_held_out
    from octad_data.standard_library import standard_library_documents
    from octad_data.step import Barrier, Resources, Step
    from octad_data.texts import Texts

__all__ = [
    "Bar",
    "Barrier",
    "BatchReader",
    "Batching",
    "Clusters",
    "DataError",
    "Document",
    "Manifest",
    "MinHash",
    "Permutation",
    "Processes",
    "ReadReport",
    "Recipe",
    "Resources",
    "Run",
    "ShardFile",
    "ShardWriter",
    "Split",
    "Step",
    "Texts",
    "TokenDocument",
    "TokenShards",
    "Tokens",
    "UnionFind",
    "decode_text",
    "exact_duplicates",
    "extract_html",
    "extract_pdf",
    "held_out",
    "hub_documents",
    "is_held_out",
    "near_duplicates",
    "normalised",
    "passages",
    "preset_names",
    "read_documents",
    "run",
    "standard_library_documents",
    "unique_documents",
    "unique_paragraphs",
    "write_shards",
]

_NAMES = {
    "batches": ("BatchReader",),
    "clusters": (
        "Clusters",
        "UnionFind",
    ),
    "document": ("Document",),
    "encoding": ("decode_text",),
    "engine": (
        "Processes",
        "Run",
        "run",
    ),
    "errors": ("DataError",),
    "exact": (
        "exact_duplicates",
        "normalised",
        "unique_documents",
        "unique_paragraphs",
    ),
    "html": ("extract_html",),
    "hub": ("hub_documents",),
    "minhash": (
        "MinHash",
        "near_duplicates",
    ),
    "passages": ("passages",),
    "pdf": ("extract_pdf",),
    "permutation": ("Permutation",),
    "progress": ("Bar",),
    "read": ("read_documents",),
    "recipe": (
        "Batching",
        "Recipe",
        "Tokens",
        "preset_names",
    ),
    "report": ("ReadReport",),
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
    "texts": ("Texts",),
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
