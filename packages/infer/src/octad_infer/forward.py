"""One call of the model: prompts to cache and logits, and the mode it runs in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import index as index_of

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from octad_infer.cache import KVCache
from octad_infer.errors import InferError
from octad_infer.protocol import Model, SplitModel


def modules_of(model: object) -> list[nn.Module]:
    """Every submodule, or none if the model is a plain function. The walk costs as much as a small layer: keep it."""
    return list(model.modules()) if isinstance(model, nn.Module) else []


@contextmanager
def evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """No gradients and no dropout inside; every module's mode is put back afterwards."""
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def device_of(model: object, device: torch.device | str | None = None) -> torch.device:
    """The given device, or that of the model's first parameter, or the CPU."""
    if device is not None:
        return torch.device(device)
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def check_tokens(sequences: Sequence[Sequence[int]], what: str) -> list[list[int]]:
    """The sequences as lists of ints.

    Raises:
        InferError: one is empty, or holds something that is not a token id.
    """
    checked = []
    for index, sequence in enumerate(sequences):
        if isinstance(sequence, str | bytes | int):
            raise InferError(f"{what} {index} is {sequence!r}; give token ids, tokenizer.encode(text)")
        try:
            tokens = [index_of(token) for token in (sequence.tolist() if isinstance(sequence, Tensor) else sequence)]
        except TypeError as error:
            raise InferError(f"{what} {index} is not a sequence of integers: {error}; give token ids") from error
        if not tokens:
            raise InferError(f"{what} {index} is empty; begin it with at least one token, such as the begin-of-text id")
        if min(tokens) < 0:
            raise InferError(f"{what} {index} holds the token id {min(tokens)}; ids are >= 0")
        checked.append(tokens)
    return checked


def right_padded(sequences: Sequence[Sequence[int]], fill: int, device: torch.device) -> Int[Tensor, "batch seq"]:
    """One row a sequence, filled up at its end."""
    longest = max(len(sequence) for sequence in sequences)
    return torch.tensor([[*sequence, *[fill] * (longest - len(sequence))] for sequence in sequences], device=device)


def prefill(
    model: Model, prompts: Sequence[Sequence[int]], *, device: torch.device, max_len: int | None = None
) -> tuple[KVCache, Float[Tensor, "batch vocab"]]:
    """Run the prompts once, as one right-padded batch.

    Returns:
        The cache that holds them, and the logits of the token after each.
    Cost: one pass over batch * longest tokens; logits of the last tokens only if the model is a `SplitModel`.
    """
    tokens = right_padded(prompts, 0, device)
    positions = right_padded([range(len(prompt)) for prompt in prompts], -1, device)
    cache = KVCache(len(prompts), max_len, capacity=tokens.shape[1] + 32)
    last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
    rows = torch.arange(len(prompts), device=device)
    if isinstance(model, SplitModel):
        return cache, model.logits_at(model.hidden(tokens, positions=positions, cache=cache)[rows, last])
    return cache, model(tokens, positions=positions, cache=cache)[rows, last]


def decode(
    model: Model, tokens: Int[Tensor, "batch"], positions: Int[Tensor, "batch"], cache: KVCache
) -> Float[Tensor, "batch vocab"]:
    """Run one more token of each row and return the logits of the next."""
    return model(tokens[:, None], positions=positions[:, None], cache=cache)[:, -1]
