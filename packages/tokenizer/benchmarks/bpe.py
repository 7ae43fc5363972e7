"""Train and encode against Hugging Face `tokenizers` and tiktoken, one thread, in CPU seconds, interleaved.

Usage: python benchmarks/bpe.py TEXT_FILE... [--vocab-size 4096] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tiktoken
import tokenizers
from octad_tokenizer import BytePairTokenizer, to_tiktoken_ranks, train_bpe


def cpu_seconds(work: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def train_theirs(texts: list[str], vocab_size: int) -> tokenizers.Tokenizer:
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    theirs.train_from_iterator(texts, trainer)
    return theirs


def record(what: str, rival: str, ours: list[float], theirs: list[float], size: int) -> None:
    line = {
        "what": what,
        "n": len(ours),
        "median_cpu_s": round(statistics.median(ours), 4),
        "spread_cpu_s": [round(min(ours), 4), round(max(ours), 4)],
        "mb_per_cpu_s": round(size / 1e6 / statistics.median(ours), 2),
        "ratio_of_speed": round(statistics.median(t / o for o, t in zip(ours, theirs, strict=True)), 3),
        "rival": rival,
        "size_bytes": size,
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
    }
    print(json.dumps(line))
    with (Path(__file__).parent / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in arguments.files]
    size = sum(len(text.encode()) for text in texts)
    hugging_face = f"tokenizers {tokenizers.__version__}"

    times: dict[str, list[float]] = {name: [] for name in ("ours", "hf", "ours_encode", "hf_encode", "tiktoken_encode")}
    for _ in range(arguments.rounds):
        ours_s, ours = cpu_seconds(lambda: train_bpe(texts, arguments.vocab_size, tie_break="lowest_ids"))
        theirs_s, theirs = cpu_seconds(lambda: train_theirs(texts, arguments.vocab_size))
        times["ours"].append(ours_s)
        times["hf"].append(theirs_s)
    assert isinstance(ours, BytePairTokenizer)
    assert isinstance(theirs, tokenizers.Tokenizer)
    record("train_bpe", hugging_face, times["ours"], times["hf"], size)

    encoding = tiktoken.Encoding(
        "ours", pat_str=ours.pattern, mergeable_ranks=to_tiktoken_ranks(ours), special_tokens={}
    )
    for _ in range(arguments.rounds + 1):
        ours_s, ids = cpu_seconds(lambda: ours.encode_batch(texts))
        hf_s, hf_ids = cpu_seconds(lambda: [theirs.encode(text).ids for text in texts])
        tiktoken_s, tiktoken_ids = cpu_seconds(lambda: [encoding.encode_ordinary(text) for text in texts])
        if not ids == hf_ids == tiktoken_ids:
            raise SystemExit("the tokenizers disagree")
        for name, seconds in (("ours_encode", ours_s), ("hf_encode", hf_s), ("tiktoken_encode", tiktoken_s)):
            times[name].append(seconds)
    warm = {name: seconds[1:] for name, seconds in times.items()}
    record("encode, warm cache", hugging_face, warm["ours_encode"], warm["hf_encode"], size)
    record("encode, warm cache", f"tiktoken {tiktoken.__version__}", warm["ours_encode"], warm["tiktoken_encode"], size)


if __name__ == "__main__":
    main()
