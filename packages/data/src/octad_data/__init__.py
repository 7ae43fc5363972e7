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

from octad_data.batches import BatchReader
from octad_data.clusters import Clusters, UnionFind
from octad_data.document import Document
from octad_data.encoding import decode_text
from octad_data.errors import DataError
from octad_data.exact import exact_duplicates, normalised, unique_documents, unique_paragraphs
from octad_data.html import extract_html
from octad_data.hub import hub_documents
from octad_data.minhash import MinHash, near_duplicates
from octad_data.passages import passages
from octad_data.pdf import extract_pdf
from octad_data.permutation import Permutation
from octad_data.read import read_documents
from octad_data.report import ReadReport
from octad_data.shard_writer import ShardWriter, TokenDocument, write_shards
from octad_data.shards import Manifest, ShardFile, TokenShards
from octad_data.split import Split, held_out, is_held_out
from octad_data.standard_library import standard_library_documents

__all__ = [
    "BatchReader",
    "Clusters",
    "DataError",
    "Document",
    "Manifest",
    "MinHash",
    "Permutation",
    "ReadReport",
    "ShardFile",
    "ShardWriter",
    "Split",
    "TokenDocument",
    "TokenShards",
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
    "read_documents",
    "standard_library_documents",
    "unique_documents",
    "unique_paragraphs",
    "write_shards",
]
