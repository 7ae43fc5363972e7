"""Tokens per CPU-second of greedy generation: octad_infer, Hugging Face generate, and no cache at all.

All three run the same Llama weights and the same layers on the same ragged prompts, on one thread; ours reaches the
model through an attention interface that keeps the seam. The three take turns; their tokens must agree.

    uv run python packages/infer/benchmarks/decode.py
"""

import json
import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from octad_infer import Sampling, generate
from torch import Tensor

ROUNDS, PROMPTS, BATCH, NEW_TOKENS = 3, 16, 8, 64
GREEDY = Sampling(temperature=0)
Prompts = list[list[int]]


def build() -> Any:
    config = transformers.LlamaConfig(
        vocab_size=8192,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 2 * parameter.shape[-1] ** -0.5)
    return model


def through_cache(
    module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, *, scaling: float, octad: Any, **_: Any
) -> Any:
    cache, positions = octad
    return cache.attend(module.layer_idx, q, k, v, positions, scale=scaling).transpose(1, 2), None


class Adapted(torch.nn.Module):
    """The same Llama behind the seam, with hidden states apart from logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def hidden(self, tokens: Tensor, *, positions: Tensor, cache: Any) -> Tensor:
        """States after the final norm."""
        octad = (cache, positions)
        return self.model.model(
            tokens, position_ids=positions.clamp(min=0), use_cache=False, octad=octad
        ).last_hidden_state

    def logits_at(self, hidden: Tensor) -> Tensor:
        """Logits of those states."""
        return self.model.lm_head(hidden)

    def forward(self, tokens: Tensor, *, positions: Tensor, cache: Any) -> Tensor:
        """Logits of every token."""
        return self.logits_at(self.hidden(tokens, positions=positions, cache=cache))


def ours(model: Any, prompts: Prompts, stop_ids: list[int]) -> Prompts:
    model.set_attn_implementation("octad")
    completions = generate(
        Adapted(model), prompts, max_new_tokens=NEW_TOKENS, sampling=GREEDY, stop_ids=stop_ids, batch_size=BATCH
    )
    return [completion.tokens for completion in completions]


def hugging_face(model: Any, prompts: Prompts, stop_ids: list[int]) -> Prompts:
    """Left-padded batches of like lengths, longest first: what its user would do."""
    model.set_attn_implementation("sdpa")
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    out: Prompts = [[] for _ in prompts]
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        longest = max(len(prompts[index]) for index in indices)
        padded = torch.tensor([[0] * (longest - len(prompts[i])) + prompts[i] for i in indices])
        mask = torch.tensor([[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in indices])
        ids = model.generate(
            padded, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=stop_ids or None
        )
        for index, row in zip(indices, ids[:, longest:].tolist(), strict=True):
            ends = [place for place, token in enumerate(row) if token in stop_ids]
            out[index] = row[: ends[0] + 1] if ends else row
    return out


def recompute(model: Any, prompts: Prompts, stop_ids: list[int]) -> Prompts:
    """No cache, one prompt at a time: the definition."""
    model.set_attn_implementation("sdpa")
    out: Prompts = []
    with torch.no_grad():
        for prompt in prompts:
            text = list(prompt)
            while len(text) < len(prompt) + NEW_TOKENS and not (len(text) > len(prompt) and text[-1] in stop_ids):
                logits = model(torch.tensor([text]), use_cache=False, logits_to_keep=1).logits
                text.append(int(logits[0, -1].argmax()))
            out.append(text[len(prompt) :])
    return out


def rate(run: Callable[..., Prompts], *arguments: Any) -> tuple[float, Prompts]:
    start = time.process_time()
    tokens = run(*arguments)
    return sum(map(len, tokens)) / (time.process_time() - start), tokens


def compare(model: Any, what: str, stop_ids: list[int]) -> dict[str, Any]:
    rng = random.Random(0)
    prompts = [[rng.randrange(1, 8192) for _ in range(rng.randint(8, 96))] for _ in range(PROMPTS)]
    few = prompts[:3]
    expected = recompute(model, few, stop_ids)
    recomputed_rate = rate(recompute, model, few, stop_ids)[0]
    rates: dict[str, list[float]] = {"ours": [], "hugging_face": []}
    for round_number in range(ROUNDS + 1):
        ours_rate, ours_tokens = rate(ours, model, prompts, stop_ids)
        rival_rate, rival_tokens = rate(hugging_face, model, prompts, stop_ids)
        agreeing = sum(a == b for a, b in zip(ours_tokens, rival_tokens, strict=True))
        if ours_tokens[:3] != expected or agreeing < PROMPTS - 1:  # one near tie in float32 is forgiven
            raise SystemExit(f"different tokens: {agreeing} of {PROMPTS} completions agree")
        if round_number:  # the first warms up
            rates["ours"].append(ours_rate)
            rates["hugging_face"].append(rival_rate)
    ratios = [a / b for a, b in zip(rates["ours"], rates["hugging_face"], strict=True)]
    return {
        "what": f"decode, {what}",
        "n": ROUNDS,
        "median": round(statistics.median(rates["ours"]), 1),
        "spread": [round(min(rates["ours"]), 1), round(max(rates["ours"]), 1)],
        "unit": "tokens per CPU-second",
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "rival": f"transformers {transformers.__version__} generate",
        "rival_median": round(statistics.median(rates["hugging_face"]), 1),
        "ratio_to_recomputation": round(statistics.median(rates["ours"]) / recomputed_rate, 2),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 thread, torch {torch.__version__}",
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
        or "none",
    }


def main() -> None:
    torch.set_num_threads(1)
    transformers.AttentionInterface.register("octad", through_cache)
    model = build()
    results = Path(__file__).with_name("results.jsonl")
    stops = list(range(0, 8192, 40))
    for what, stop_ids in (("equal lengths", []), ("completions stop at different times", stops)):
        line = json.dumps(compare(model, what, stop_ids))
        print(line)
        with results.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
