"""Training against gigatoken, rustbpe and Hugging Face, one thread, in CPU seconds, interleaved, merges compared.

Usage: python benchmarks/train.py prose|source [--rounds 3] [--rivals gigatoken,rustbpe,tokenizers] [--note TEXT]

prose: 5 MB of English from the shared test data, 10,000 tokens. source: at least 34 MB of Python from this
interpreter's standard library and site-packages, files in the order of their names, 32,000 tokens.

Ours is the whole call of `train_bpe`, which also makes the tokenizer. The rivals' threads are held to one by
RAYON_NUM_THREADS=1, and CPU time counts all threads anyway.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import resource
import statistics
import subprocess
import sysconfig
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from octad_tokenizer import GPT2, PreTokenizer, TieBreak, train_bpe
from octad_tokenizer.byte_spelling import unspelled
from octad_tokenizer.special import SpecialTokens
from octad_tokenizer.train_blocks import Blocks

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
Merges = list[tuple[bytes, bytes]]


def prose() -> str:
    names = ["text/tinyshakespeare.txt", "text/wikitext2_valid.txt", "tokenizer/corpus.en"]
    parts = [(DATA / name).read_text(encoding="utf-8") for name in names]
    for name in ("text/state_union.zip", "text/inaugural.zip"):
        with zipfile.ZipFile(DATA / name) as archive:
            files = sorted(file for file in archive.namelist() if file.endswith(".txt"))
            parts += [archive.read(file).decode(errors="replace") for file in files]
    return "\n".join(parts)


def source(size: int = 34_000_000) -> str:
    parts: list[str] = []
    held = 0
    roots = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            if held >= size or (root == roots[0] and "site-packages" in path.parts):
                continue
            with contextlib.suppress(UnicodeDecodeError):
                parts.append(path.read_bytes().decode())
                held += len(parts[-1].encode())
    return "\n".join(parts)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Of standard output and error, where gigatoken reports."""
    kept = os.dup(1), os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for handle in (*kept, nothing):
            os.close(handle)


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


class Gigatoken:
    """Reads bytes; its merges are pairs of byte strings."""

    tie_break: TieBreak = "lowest_raw_ids"

    def train(self, texts: list[str], vocab_size: int) -> tuple[float, Any]:
        """CPU seconds, and what was learned."""
        from gigatoken import gigatoken_rs

        data = "".join(texts).encode()
        with silence():
            return cpu_seconds(lambda: gigatoken_rs.train_bpe(data, vocab_size, [], "raw_token_ids"))

    def is_same(self, trained: Any, ours: Merges) -> bool:
        """Whether the merges are equal, in order."""
        return bool(list(trained[1]) == ours)


class RustBpe:
    """Gives tokens by rank, not merges."""

    tie_break: TieBreak = "lowest_raw_ids"

    def train(self, texts: list[str], vocab_size: int) -> tuple[float, Any]:
        """CPU seconds, and what was learned."""
        import rustbpe

        trainer = rustbpe.Tokenizer()
        seconds, _ = cpu_seconds(lambda: trainer.train_from_iterator(iter(texts), vocab_size, pattern=GPT2))
        return seconds, trainer

    def is_same(self, trained: Any, ours: Merges) -> bool:
        """Whether the tokens are equal, in order."""
        tokens = [bytes(token) for token, _ in sorted(trained.get_mergeable_ranks(), key=lambda item: item[1])]
        return tokens[256:] == [left + right for left, right in ours]


class HuggingFace:
    """The byte-level trainer of `tokenizers`."""

    tie_break: TieBreak = "lowest_ids"

    def train(self, texts: list[str], vocab_size: int) -> tuple[float, Any]:
        """CPU seconds, and what was learned."""
        import tokenizers

        theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
        theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        trainer = tokenizers.trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
        return cpu_seconds(lambda: theirs.train_from_iterator(texts, trainer))[0], theirs

    def is_same(self, trained: Any, ours: Merges) -> bool:
        """Whether the merges are equal, in order."""
        merges = json.loads(trained.to_str())["model"]["merges"]
        return [(unspelled(left), unspelled(right)) for left, right in merges] == ours


RIVALS: dict[str, Gigatoken | RustBpe | HuggingFace] = {
    "gigatoken": Gigatoken(),
    "rustbpe": RustBpe(),
    "tokenizers": HuggingFace(),
}


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", choices=["prose", "source"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rivals", default=",".join(RIVALS))
    parser.add_argument("--note", default="")
    arguments = parser.parse_args()
    text, vocab_size = (prose(), 10_000) if arguments.corpus == "prose" else (source(), 32_000)
    # Cut where all see the same pre-tokens, because Hugging Face holds all of a text's at once.
    blocks = Blocks(SpecialTokens({}), PreTokenizer(GPT2).last_cut, 1 << 20).of([text])
    texts = [block.decoded() for block in blocks]
    for name in arguments.rivals.split(","):
        rival, tie_break = RIVALS[name], RIVALS[name].tie_break
        ours_s: list[float] = []
        theirs_s: list[float] = []
        is_same = True
        for _ in range(arguments.rounds):
            train = functools.partial(train_bpe, [text], vocab_size, tie_break=tie_break, threads=1)
            seconds, ours = cpu_seconds(train)
            ours_s.append(seconds)
            seconds, theirs = rival.train(texts, vocab_size)
            theirs_s.append(seconds)
            is_same = is_same and rival.is_same(theirs, list(ours.merges))
        if not is_same:
            raise SystemExit(f"{name} learned other merges")
        line = {
            "what": f"train_bpe, {arguments.corpus}",
            "n": arguments.rounds,
            "vocab_size": vocab_size,
            "size_bytes": len(text.encode()),
            "median_cpu_s": round(statistics.median(ours_s), 4),
            "spread_cpu_s": [round(min(ours_s), 4), round(max(ours_s), 4)],
            "rival_median_cpu_s": round(statistics.median(theirs_s), 4),
            "ratio_of_speed": round(statistics.median(t / o for o, t in zip(ours_s, theirs_s, strict=True)), 2),
            "rival": f"{name} {version(name)}",
            "same_merges": is_same,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "machine": f"{platform.machine()} {platform.system()}",
            "python": platform.python_version(),
            "commit": commit(),
        }
        if arguments.note:
            line["note"] = arguments.note
        print(json.dumps(line), flush=True)
        with (Path(__file__).parent / "results.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
