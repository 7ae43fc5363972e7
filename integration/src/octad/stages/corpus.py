"""Corpus: read the source, drop duplicates, set some documents aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from octad_data import Document, exact_duplicates, held_out, near_duplicates

from octad.documents import size_bytes, write_documents
from octad.errors import OctadError
from octad.pipeline import Context
from octad.recipe import CorpusRecipe
from octad.reporter import Reporter

PASSAGES = 200  # at least so many from a corpus of few documents


def make_corpus(context: Context) -> Mapping[str, Any]:
    """Write `train.jsonl` and `held_out.jsonl`; whatever is nearly the same lies on one side."""
    recipe = context.recipe.corpus
    documents, skipped = read_source(recipe, context.reporter)
    found = len(documents)
    exact = exact_duplicates(documents)
    documents = list(exact.keep(documents))
    context.reporter.update(found, None, ["documents", f"{found - len(documents)} exact duplicates"])
    near = near_duplicates(documents)
    sides = held_out(documents, recipe.held_out, context.recipe.seed, near, key=_one_thing)
    train, unseen = (list(near.keep(side)) if recipe.near_duplicates else side for side in sides)
    if not train or not unseen:
        raise OctadError(
            f"corpus.source = {recipe.source!r} gives too few documents ({len(documents)}, with long ones cut) to set "
            f"{recipe.held_out:.0%} of them aside; give more text or raise corpus.held_out"
        )
    write_documents(context.path() / "train.jsonl", train)
    write_documents(context.path() / "held_out.jsonl", unseen)
    return {
        "headline": f"{len(train):,} documents, {size_bytes(train) / 1e6:.1f} MB; {len(unseen)} held out",
        "source": recipe.source,
        "documents": found,
        "exact_duplicates": exact.num_duplicates,
        "near_duplicates": near.num_duplicates if recipe.near_duplicates else 0,
        "skipped": skipped,
        "train_bytes": _bytes_by_kind(train),
        "held_out_bytes": _bytes_by_kind(unseen),
    }


def read_source(recipe: CorpusRecipe, reporter: Reporter) -> tuple[list[Document], Mapping[str, Any]]:
    """The documents of the recipe's source, and what was skipped and why, which is also said."""
    limit = recipe.max_documents or None
    if recipe.source == "standard-library":
        from octad_data import standard_library_documents

        return list(islice(_counted(standard_library_documents(), reporter), limit)), {}
    if recipe.source.startswith("hub:"):
        from octad_data import hub_documents

        name = recipe.source.removeprefix("hub:")
        rows = hub_documents(name, recipe.split, recipe.text_column)
        return list(islice(_counted(rows, reporter), limit)), {}
    from octad_data import ReadReport, passages, read_documents

    report = ReadReport()
    documents = read_documents(Path(recipe.source).expanduser(), text_column=recipe.text_column, report=report)
    whole = list(islice(_counted(documents, reporter), limit))
    for line in report.skipped_lines():
        reporter.note(f"corpus: {line}")
    # one long file must still give passages to shuffle and to set aside
    length = min(20_000, max(500, sum(len(document.text) for document in whole) // PASSAGES))
    return list(passages(whole, length)), dict(report.skipped)


def _counted(documents: Iterable[Document], reporter: Reporter) -> Iterator[Document]:
    for number, document in enumerate(documents, 1):
        reporter.update(number, None, ["documents", document.id])
        yield document


def _one_thing(document: Document) -> str:
    """A module's prose stands in its code too: both go to one side."""
    return document.metadata.get("module", document.id)


def _bytes_by_kind(documents: Iterable[Document]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for document in documents:
        counts[document.kind] += size_bytes([document])
    return dict(counts)
