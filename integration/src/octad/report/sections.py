"""What the page tells of corpus, tokenizer, plan and model, from the files of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from octad_arch import Cost, describe, read_spec
from octad_data import TokenShards
from octad_tokenizer import BytePairTokenizer, ByteTokenizer, CharacterTokenizer, Comparison, WordTokenizer, compare

from octad.account import training_bytes
from octad.documents import read_documents
from octad.report.record import TRAINED, RunRecord

COMPARED_CHARACTERS = 100_000
WORD_TRAINING_CHARACTERS = 2_000_000
MAX_DOCUMENTS = 20_000
SHOWN_TOKENS = 24


@dataclass(frozen=True)
class TokenizerFacts:
    """What the tokenizer does to this corpus.

    Attributes:
        compared: with bytes, characters and as many words, on the held-out text of each kind.
        unused: tokens that occur nowhere in the training shards, special tokens not counted.
        unused_bytes: how many of them are the single bytes from which everything can be spelled.
        unused_examples: some of the others.
        longest: the longest tokens that occur there.
    """

    compared: Mapping[str, list[Comparison]]
    vocab_size: int
    unused: int
    unused_bytes: int
    unused_examples: tuple[str, ...]
    longest: tuple[str, ...]


@dataclass(frozen=True)
class ModelFacts:
    """What the model is and what it costs, at its full context."""

    description: str
    cost: Cost
    context: int
    weights_bytes: int
    training_bytes: int

    @property
    def training_flops(self) -> int:
        """FLOPs of one token's forward and backward pass, half of the context seen on average."""
        return self.cost.forward_flops + self.cost.backward_flops


def shards_of(record: RunRecord, side: str) -> dict[str, TokenShards]:
    """The token shards of one side by kind; none where the stage is not done."""
    if not record.summary("shards"):
        return {}
    folders = sorted((record.path / "shards").glob(f"{side}-*"))
    return {folder.name.removeprefix(f"{side}-"): TokenShards(folder) for folder in folders}


def document_lengths(record: RunRecord) -> dict[str, NDArray[np.int64]]:
    """Tokens of each training document by kind; of some 20,000 evenly apart where there are more."""
    lengths = {}
    everything = shards_of(record, "train")
    for kind in sorted(everything, key=lambda kind: (kind not in record.kinds, kind != "prose", kind)):
        shards = everything[kind]
        chosen = np.unique(np.linspace(0, len(shards) - 1, min(len(shards), MAX_DOCUMENTS)).astype(int))
        lengths[kind] = np.array([len(shards.document(int(number))) for number in chosen], dtype=np.int64)
    return lengths


def tokenizer_facts(record: RunRecord) -> TokenizerFacts | None:
    """Compression beside simpler tokenizers, and which tokens are of no use; None before the tokenizer is done."""
    file = record.path / "tokenizer" / "tokenizer.json"
    if not record.summary("tokenizer") or not file.is_file():
        return None
    tokenizer = BytePairTokenizer.load(file)
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    shards = shards_of(record, "train")
    for part in shards.values():
        counts += np.bincount(part.tokens(0, part.num_tokens), minlength=tokenizer.vocab_size)
    special = set(tokenizer.special_tokens.values())
    ordinary = [i for i in range(tokenizer.vocab_size) if i not in special]
    unused = [i for i in ordinary if not counts[i]] if shards else []
    merged = [i for i in unused if len(tokenizer.token_bytes(i)) > 1]
    used = [i for i in ordinary if counts[i]] if shards else ordinary
    longest = sorted(used, key=lambda i: -len(tokenizer.token_bytes(i)))[: 4 * SHOWN_TOKENS]
    return TokenizerFacts(
        _compared(record, tokenizer),
        tokenizer.vocab_size,
        len(unused),
        len(unused) - len(merged),
        tuple(tokenizer.decode([i]) for i in merged[:SHOWN_TOKENS]),
        tuple(_without_runs(tokenizer.decode([i]) for i in longest))[:SHOWN_TOKENS],
    )


def model_facts(record: RunRecord) -> ModelFacts | None:
    """The model of the last finished training stage; None before there is one."""
    done = [record.path / name / "model" for name in TRAINED if record.summary(name)]
    if not done or not (done[-1] / "config.json").is_file():
        return None
    spec = read_spec(done[-1])
    cost = spec.cost(spec.context_length)
    return ModelFacts(
        describe(spec), cost, spec.context_length, 4 * cost.parameters, training_bytes(spec, record.recipe.pretrain)
    )


def _compared(record: RunRecord, tokenizer: BytePairTokenizer) -> dict[str, list[Comparison]]:
    """Each kind of held-out text in bytes, characters, words and our tokens."""
    corpus = record.path / "corpus"
    if not (corpus / "train.jsonl").is_file() or not (corpus / "held_out.jsonl").is_file():
        return {}
    held_out = _texts(corpus / "held_out.jsonl", COMPARED_CHARACTERS)
    seen = _texts(corpus / "train.jsonl", WORD_TRAINING_CHARACTERS)
    found = {}
    for kind, text in held_out.items():
        rivals = {
            "bytes": ByteTokenizer(),
            "characters": CharacterTokenizer.train([*seen.values(), text]),
            "words": WordTokenizer.train(seen.values() or [text], tokenizer.vocab_size),
            "byte pairs": tokenizer,
        }
        found[kind] = compare(rivals, text)
    return found


def _texts(file: Path, characters: int) -> dict[str, str]:
    """The first so many characters of each kind of document."""
    texts: dict[str, list[str]] = {}
    room: dict[str, int] = {}
    for document in read_documents(file):
        left = room.setdefault(document.kind, characters)
        if left > 0 and document.text:
            texts.setdefault(document.kind, []).append(document.text[:left])
            room[document.kind] = left - len(document.text)
    return {kind: "\n".join(parts) for kind, parts in sorted(texts.items())}


def _without_runs(tokens: Iterator[str]) -> Iterator[str]:
    """One token of each kind of run (of spaces, of dashes, ...): thirty lengths of white space tell nothing new."""
    seen: set[str] = set()
    for token in tokens:
        key = token if len(set(token.strip())) > 1 else token.strip()[:1] or " "
        if key not in seen:
            seen.add(key)
            yield token
