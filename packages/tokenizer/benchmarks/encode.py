"""Encode with GPT-2's vocabulary, one thread, against tiktoken, Hugging Face `tokenizers` and gigatoken.

CPU seconds, interleaved; every rival by its fastest way to an array (Hugging Face has none: its ids are left inside its
own object), and all ids are checked to be equal. Each text is timed twice: "first pass" by encoders that have seen no
text yet, so that caches are empty, and "warm", the median of passes that follow. Then texts made to be slow, and the
stream against the one-shot call.

Usage: python benchmarks/encode.py GPT2_VOCAB.json GPT2_MERGES.txt NAME=FILE... [--rounds 5]

A FILE is a text, a zip of texts, a folder of Python files, or a .conllu treebank, of which the sentences are taken;
NAME=a,b joins several.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
import zipfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from string import ascii_lowercase

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import gigatoken
import numpy as np
import tiktoken
import tokenizers
from octad_tokenizer import BytePairTokenizer, load_gpt2_files, save_tiktoken_ranks, to_tiktoken_ranks

Encode = Callable[[str], object]


class Rivals:
    """Fresh encoders of all four, with the same vocabulary."""

    def __init__(self, vocab: Path, merges: Path) -> None:
        self.ours = load_gpt2_files(vocab, merges)
        self.ranks = to_tiktoken_ranks(self.ours)
        self.vocab, self.merges = vocab, merges
        with tempfile.TemporaryDirectory() as folder:
            self.ranks_file = save_tiktoken_ranks(self.ours, Path(folder) / "gpt2.tiktoken").read_bytes()

    def fresh(self, rival: str) -> Encode:
        """An encoder that has seen no text yet."""
        if rival == "ours":
            ours = BytePairTokenizer(self.ours.vocabulary, self.ours.merges, {})
            ours.encode("a")  # builds the tables, as the others' constructors do
            return ours.encode_to_array
        if rival == "tiktoken":
            theirs = tiktoken.Encoding("gpt2", pat_str=self.ours.pattern, mergeable_ranks=self.ranks, special_tokens={})
            return lambda text: theirs.encode_to_numpy(text, disallowed_special=())
        if rival == "hugging_face":
            return tokenizers.ByteLevelBPETokenizer(str(self.vocab), str(self.merges))._tokenizer.encode
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "gpt2.tiktoken"
            file.write_bytes(self.ranks_file)
            return gigatoken.Tokenizer.from_tiktoken(file, "gpt2", {}).encode


VERSIONS = {
    "tiktoken": f"tiktoken {tiktoken.__version__}",
    "hugging_face": f"tokenizers {tokenizers.__version__}",
    "gigatoken": "gigatoken 0.10.0",
}


def ids_of(result: object) -> np.ndarray:
    if isinstance(result, tokenizers.Encoding):
        result = result.ids
    return np.asarray(result, dtype=np.uint32)


def cpu_seconds(work: Callable[[], object]) -> tuple[float, object]:
    gc.collect()  # or the first in line pays for what building the encoders left behind; timeit does the same
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def commit() -> str:
    try:
        return subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def record(**line: object) -> None:
    line |= {"machine": f"{platform.machine()} {platform.system()}", "python": platform.python_version()}
    line["commit"] = commit()
    print(json.dumps(line), flush=True)
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def paired(ours: list[float], theirs: list[float]) -> list[float]:
    """Ratios of neighbours in time: the machine may be slower in one round than in the next."""
    step = len(ours) // len(theirs)
    return [their / ours[at * step] for at, their in enumerate(theirs)]


def record_ratios(what: str, seconds: dict[str, list[float]], size: int) -> None:
    ours = statistics.median(seconds["ours"])
    for rival in VERSIONS:
        if seconds.get(rival):
            record(
                what=what,
                n=len(seconds["ours"]),
                median_cpu_s=round(ours, 5),
                spread_cpu_s=[round(min(seconds["ours"]), 5), round(max(seconds["ours"]), 5)],
                mb_per_cpu_s=round(size / 1e6 / ours, 1),
                ratio_of_speed=round(statistics.median(paired(seconds["ours"], seconds[rival])), 2),
                unit="times the rival's speed",
                rival=VERSIONS[rival],
                size_bytes=size,
            )


def compare(rivals: Rivals, name: str, text: str, rounds: int) -> None:
    """Hugging Face, by far the slowest, sees the first warm round only."""
    size = len(text.encode())
    first: dict[str, list[float]] = {"ours": [], **{rival: [] for rival in VERSIONS}}
    warm: dict[str, list[float]] = {"ours": [], **{rival: [] for rival in VERSIONS}}
    for _ in range(3):
        encoders, results = {}, {}
        for rival in first:  # each is timed as soon as it is built, when its tables are still in the processor's caches
            encoders[rival] = encode = rivals.fresh(rival)
            seconds, results[rival] = cpu_seconds(lambda encode=encode: encode(text))
            first[rival].append(seconds)
        expected = ids_of(results["tiktoken"])
        for rival, result in results.items():
            if not np.array_equal(ids_of(result), expected):
                raise SystemExit(f"{name}: {rival} has other ids than tiktoken")
    for at in range(rounds):
        for rival, encode in encoders.items():
            if rival != "hugging_face" or at == 0:
                warm[rival].append(cpu_seconds(lambda encode=encode: encode(text))[0])
    record_ratios(f"encode to an array, first pass, {name}", first, size)
    record_ratios(f"encode to an array, warm, {name}", warm, size)


def pathological(rivals: Rivals, ordinary: str, rounds: int) -> None:
    """A megabyte of each, seconds a byte over those of ordinary text, both in their first pass."""
    letters = "".join(filter(str.isalpha, ordinary))
    ideographs = "".join(chr(0x4E00 + (at * 7919) % 5000) for at in range(350_000))
    texts = {
        "a": "a" * 10**6,
        "ab": "ab" * 500_000,
        "dashes": "-" * 10**6,
        "spaces": " " * 10**6,
        "letters without spaces": letters[: 10**6],
        "random letters without spaces": "".join(Random(1).choices(ascii_lowercase, k=10**6)),
        "ideographs without spaces": ideographs[:333_333],
    }

    def seconds_a_byte(text: str) -> float:
        def one() -> float:
            ours = BytePairTokenizer(rivals.ours.vocabulary, rivals.ours.merges, {})
            ours.encode("a")
            return cpu_seconds(lambda: ours.encode_to_array(text))[0]

        return statistics.median(one() for _ in range(rounds)) / len(text.encode())

    base = seconds_a_byte(ordinary[: 10**6])
    for name, text in texts.items():
        record(
            what=f"encode 1 MB of {name}, first pass",
            n=rounds,
            mb_per_cpu_s=round(1e-6 / seconds_a_byte(text), 1),
            times_ordinary_text_a_byte=round(seconds_a_byte(text) / base, 2),
            rival="itself on ordinary text",
        )


def stream(rivals: Rivals, text: str, rounds: int) -> None:
    """Both ways to the ids: lists of ints, and arrays; the stream gets chunks of 64 Ki characters."""
    ours = BytePairTokenizer(rivals.ours.vocabulary, rivals.ours.merges, {})
    chunks = [text[at : at + 65536] for at in range(0, len(text), 65536)]
    if list(ours.encode_iterable(chunks)) != ours.encode(text):
        raise SystemExit("the stream has other ids")
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "encode_iterable against iterating over encode": (
            lambda: deque(ours.encode_iterable(chunks), maxlen=0),
            lambda: deque(ours.encode(text), maxlen=0),
        ),
        "encode_blocks against encode_to_array": (
            lambda: sum(map(len, ours.encode_blocks(chunks))),
            lambda: ours.encode_to_array(text),
        ),
    }
    for what, (streamed, at_once) in pairs.items():
        times = [(cpu_seconds(streamed)[0], cpu_seconds(at_once)[0]) for _ in range(rounds)]
        record(
            what=what,
            n=rounds,
            ratio_of_speed=round(statistics.median(b / a for a, b in times), 3),
            rival="itself at once",
            size_bytes=len(text.encode()),
        )


def read(files: str) -> str:
    parts = []
    for path in map(Path, files.split(",")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if name.endswith(".txt"))
                parts += [archive.read(name).decode(errors="replace") for name in names]
        elif path.suffix == ".conllu":
            lines = path.read_text(encoding="utf-8").splitlines()
            parts += [line.removeprefix("# text = ") + "\n" for line in lines if line.startswith("# text = ")]
        elif path.is_dir():
            parts += [file.read_text(encoding="utf-8", errors="replace") for file in sorted(path.glob("*.py"))]
        else:
            parts.append(path.read_text(encoding="utf-8"))
    return "".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("vocab", type=Path)
    parser.add_argument("merges", type=Path)
    parser.add_argument("texts", nargs="+", help="NAME=FILE[,FILE...]")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    gc.disable()
    rivals = Rivals(arguments.vocab, arguments.merges)
    texts = {name: read(files) for name, _, files in (text.partition("=") for text in arguments.texts)}
    for name, text in texts.items():
        compare(rivals, name, text, arguments.rounds)
    first = next(iter(texts.values()))
    pathological(rivals, first, arguments.rounds)
    stream(rivals, first, arguments.rounds)


if __name__ == "__main__":
    main()
