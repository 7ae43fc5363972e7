"""Prefill, decode and sampling with a key-value cache, for any model that keeps the seam.

A model is `model(tokens, positions=..., cache=...) -> logits`, whose attention layers call
`cache.attend(layer, q, k, v, positions)`: the cache owns the past (`protocol.py`). On that stand

- `generate(model, prompts, n=4, max_new_tokens=64, sampling=Sampling(top_p=0.9))`: completions with tokens,
  log-probabilities and the reason they ended; prompts are prefilled once, finished rows leave the batch at once;
- `stream(model, prompt, ...)`: the same tokens one by one, for chat;
- `score(model, sequences)`: log-probabilities of given tokens;
- `KVCache`: ragged rows, `fork`, `select`, `expand`, `join`, `truncate`;
- `Sampling` and its pure filters, each equal to Hugging Face's; a sample depends on (seed, prompt, sample, step)
  and not on its neighbours in the batch.
"""

from octad_infer.cache import KVCache
from octad_infer.completion import Completion, Event, FinishReason
from octad_infer.engine import Engine
from octad_infer.errors import InferError
from octad_infer.forward import prefill
from octad_infer.generate import generate, stream
from octad_infer.noise import keyed_uniform, splitmix64
from octad_infer.protocol import AttentionCache, Model, SplitModel
from octad_infer.sampling import (
    Sampling,
    filter_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    sample,
    seen_tokens,
)
from octad_infer.score import score

__all__ = [
    "AttentionCache",
    "Completion",
    "Engine",
    "Event",
    "FinishReason",
    "InferError",
    "KVCache",
    "Model",
    "Sampling",
    "SplitModel",
    "filter_logits",
    "generate",
    "keep_min_p",
    "keep_top_k",
    "keep_top_p",
    "keyed_uniform",
    "penalize_repetition",
    "prefill",
    "sample",
    "score",
    "seen_tokens",
    "splitmix64",
    "stream",
]
