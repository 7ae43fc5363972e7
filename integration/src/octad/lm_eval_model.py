"""lm-eval's `LM` over our models. Importing this module imports lm-eval, which takes seconds.

It keeps lm-eval's conventions, so that its figures are those of lm-eval's own `hf` model on the same weights: spaces at
the end of a context belong to the continuation, a pair is encoded whole and split where the context alone ends, and a
context that is too long loses its beginning (`num_cut` counts those). The names of special tokens in contexts and
continuations are these tokens, since chat templates write them there; in a text that is scored whole they are text.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows
from octad_infer import Sampling, generate
from torch import Tensor

from octad.errors import OctadError
from octad.text_model import TextModel

DEFAULT_MAX_GEN_TOKS = 256  # lm-eval's own
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
Pair = tuple[list[int], list[int]]


class Generation(str):
    """A generated text that knows whether it ended of itself or was cut off at the limit."""

    is_finished: bool = True


class OctadLM(LM):  # type: ignore[misc]
    """What lm-eval asks of a model.

    Args:
        text_model: the model, its tokenizer and template.
        batch_size: sequences a pass.
        rolling_context: tokens that every token of a long text has before it, at least; lm-eval's `hf` has 1, and
            context // 2 costs two passes over the text.
        seed: of sampled answers.
    """

    def __init__(self, text_model: TextModel, *, batch_size: int = 32, rolling_context: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.text_model, self.batch_size, self.seed = text_model, batch_size, seed
        if batch_size < 1 or not 1 <= rolling_context <= self.max_length:
            raise OctadError(
                f"batch_size={batch_size}, rolling_context={rolling_context}; use at least 1 and at most the context "
                f"of {self.max_length} tokens"
            )
        self.rolling_context = rolling_context
        self.num_cut = 0
        self._device = text_model.device

    @property
    def max_length(self) -> int:
        """The model's context in tokens."""
        return self.text_model.context

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer and the template in lm-eval's request cache."""
        template = self.text_model.template.source if self.text_model.template else ""
        return f"octad-{self.text_model.tokenizer.fingerprint[:16]}-{hash_of(template)}"

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template's source."""
        return self.text_model.template.source if chat_template and self.text_model.template else ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as text; without a generation prompt its last message stays open, to be gone on with."""
        template = self.text_model.template
        if template is None:
            raise OctadError(f"{self.text_model.name} has no chat template")
        text = template.render(chat_history, add_generation_prompt=add_generation_prompt)
        if add_generation_prompt:
            return text
        last = chat_history[-1]["content"].strip()
        return text[: text.rindex(last) + len(last)]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """For each (context, continuation): log p(continuation | context), and whether greedy decoding gives it.

        Raises:
            OctadError: a continuation is longer than the model's context.
        """
        results = self._score([self._pair(*request.args) for request in requests])
        for request, result in zip(requests, results, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, result)
        return results

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """For each (text,): log p(text | prefix), every token scored once, in windows of the model's context."""
        windows: list[tuple[int, Pair]] = []
        for index, request in enumerate(requests):
            ids = self._without_prefix(self.text_model.encode(request.args[0], is_plain=True))
            for past, scored in get_rolling_token_windows(
                ids, self.text_model.prefix_id, self.max_length, self.rolling_context
            ):
                windows.append((index, (past[: len(past) - len(scored) + 1], scored)))
        totals = [0.0] * len(requests)
        for (index, _), (log_prob, _) in zip(windows, self._score([pair for _, pair in windows]), strict=True):
            totals[index] += log_prob
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """For each (context, settings): the text up to the first of `until`, a stop token, or `max_gen_toks`.

        Raises:
            OctadError: a setting that is unknown, or that leaves no room for the context.
        """
        groups: dict[str, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            groups[json.dumps(request.args[1], sort_keys=True)].append(index)
        texts: list[str] = [""] * len(requests)
        for indices in groups.values():
            answers = self._generate([requests[i].args[0] for i in indices], requests[indices[0]].args[1])
            for index, text in zip(indices, answers, strict=True):
                texts[index] = text
                self.cache_hook.add_partial("generate_until", requests[index].args, text)
        return texts

    def _pair(self, context: str, continuation: str) -> Pair:
        encode, prefix = self.text_model.encode, [self.text_model.prefix_id]
        if not context:
            ids = self._without_prefix(encode(continuation))
            # a text that brings its own prefix is not given a second one
            return (ids[:1], ids[1:]) if ids[:1] == prefix else (prefix, ids)
        bare = context.rstrip()
        whole = encode(context + continuation)
        # the last token always holds the end of the continuation, even where it has merged into the context's
        split = min(len(encode(bare)), len(whole) - 1) if continuation else len(whole)
        return (whole[:split], whole[split:]) if split else (prefix, whole)

    def _without_prefix(self, ids: list[int]) -> list[int]:
        return ids[1:] if self.text_model.has_prefix else ids

    @torch.no_grad()
    def _score(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Longest first, so that a batch holds like lengths and the first one shows whether memory suffices."""
        results = [(0.0, True)] * len(pairs)
        order = sorted((i for i, (_, scored) in enumerate(pairs) if scored), key=lambda i: -sum(map(len, pairs[i])))
        for start in range(0, len(order), self.batch_size):
            indices = order[start : start + self.batch_size]
            for index, result in zip(indices, self._score_batch([pairs[i] for i in indices]), strict=True):
                results[index] = result
        return results

    def _score_batch(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        rows = [self._fitted(pair) for pair in pairs]
        inputs = [torch.tensor(row[:-1]) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True).to(self._device)
        hidden = self.text_model.model.hidden(padded)
        results = []
        for state, row, (_, scored) in zip(hidden, rows, pairs, strict=True):
            states = state[len(row) - 1 - len(scored) : len(row) - 1]
            logits = self.text_model.model.logits_at(states)  # of the continuation only
            results.append(_judged(logits, torch.tensor(scored, device=self._device)))
        return results

    def _fitted(self, pair: Pair) -> list[int]:
        """Context and continuation, without the beginning of a context that is too long."""
        context, scored = pair
        if len(scored) > self.max_length:
            raise OctadError(
                f"a continuation of {len(scored)} tokens is longer than the model's context of {self.max_length}; "
                "score long texts with output_type: loglikelihood_rolling"
            )
        row = [*context, *scored]
        self.num_cut += len(row) > self.max_length + 1
        return row[-self.max_length - 1 :]

    def _generate(self, contexts: Sequence[str], settings: Mapping[str, Any]) -> list[Generation]:
        max_new, until, sampling = self._settings(settings)
        room = self.max_length - max_new
        prompts = [self.text_model.encode(context) or [self.text_model.prefix_id] for context in contexts]
        self.num_cut += sum(len(prompt) > room for prompt in prompts)
        tokenizer = self.text_model.tokenizer
        completions = generate(
            self.text_model.model,
            [prompt[-room:] for prompt in prompts],
            max_new_tokens=max_new,
            sampling=sampling,
            stop_ids={*self.text_model.stop_ids, *_ids_with(tokenizer.token_bytes, tokenizer.vocab_size, until)},
            batch_size=self.batch_size,
            max_len=self.max_length,
            seed=self.seed,
        )
        return [self._text(completion.tokens, until) for completion in completions]

    def _text(self, ids: list[int], until: Sequence[str]) -> Generation:
        """Up to the first of `until`; special tokens but those that end an answer stay to be seen."""
        is_ended = ids[-1] in self.text_model.stop_ids
        whole = self.text_model.tokenizer.decode(ids[:-1] if is_ended else ids)
        ends = [at for at in (whole.find(stop) for stop in until) if at >= 0]
        text = Generation(whole[: min(ends)] if ends else whole)
        text.is_finished = is_ended or bool(ends)
        return text

    def _settings(self, settings: Mapping[str, Any]) -> tuple[int, list[str], Sampling]:
        """Most new tokens, stop texts and sampling of `generation_kwargs`."""
        known: dict[str, Any] = normalize_gen_kwargs(dict(settings), min(DEFAULT_MAX_GEN_TOKS, self.max_length // 2))
        until, max_new = [stop for stop in known.pop("until", []) if stop], known.pop("max_gen_toks")
        if not 1 <= max_new < self.max_length:
            raise OctadError(
                f"generation_kwargs: max_gen_toks={max_new} leaves no room in the model's context of "
                f"{self.max_length} tokens; set it to 1 .. {self.max_length - 1}"
            )
        is_sampled = known.pop("do_sample")
        if unknown := sorted(known.keys() - set(SAMPLING)):
            raise OctadError(f"generation_kwargs: {', '.join(unknown)} unknown; there are {', '.join(SAMPLING)}")
        chosen = {name: known[name] for name in SAMPLING if known.get(name) is not None}
        if not is_sampled:
            penalty = {name: value for name, value in chosen.items() if name == "repetition_penalty"}
            return max_new, until, Sampling(temperature=0.0, **penalty)
        return max_new, until, Sampling(**{**chosen, "temperature": chosen.get("temperature") or 1.0})


def hash_of(text: str) -> str:
    """A short name of a text."""
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()[:8]


def _judged(logits: Tensor, ids: Tensor) -> tuple[float, bool]:
    logits = logits if logits.dtype == torch.float64 else logits.float()
    chosen = logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(1)
    return float(chosen.sum()), bool((logits.argmax(1) == ids).all())


def _ids_with(token_bytes: Callable[[int], bytes], vocab_size: int, until: Sequence[str]) -> list[int]:
    """Tokens that hold a stop text whole: after them nothing can matter, so they end a row at once."""
    stops = [stop.encode() for stop in until]
    if not stops:
        return []
    return [i for i in range(vocab_size) if any(stop in token_bytes(i) for stop in stops)]
