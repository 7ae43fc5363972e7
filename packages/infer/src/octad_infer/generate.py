"""Completions of many prompts, or a stream of one."""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from octad_infer.completion import Completion, Event
from octad_infer.engine import Engine
from octad_infer.errors import InferError
from octad_infer.forward import check_tokens, device_of
from octad_infer.protocol import Model
from octad_infer.sampling import Sampling


def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    n: int = 1,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    stop_ids: Collection[int] = (),
    batch_size: int = 16,
    max_len: int | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    generator: torch.Generator | None = None,
    noise_keys: Sequence[int] | None = None,
    on_token: Callable[[Event], None] | None = None,
) -> list[Completion]:
    """Draw n completions of every prompt, ordered by prompt, then by sample.

    The k-th sample of a prompt is a function of (model, prompt, its noise key, k, sampling, seed): batch_size, and
    which prompts share a batch, change it only as far as they change the rounding of the logits.

    Args:
        model: keeps the seam of `Model`; a `SplitModel` prefills in less memory.
        prompts: token ids, none empty.
        max_new_tokens: most tokens a completion, >= 1.
        n: completions a prompt, >= 1.
        sampling: how tokens are drawn; `Sampling(temperature=0)` is greedy.
        stop_ids: tokens that end a completion; the one that came is its last token.
        batch_size: most rows decoded together.
        max_len: the model's context: most tokens of prompt and completion together; None means no limit.
        device: where token ids go; None means the model's.
        seed: of all noise, in [0, 2**64).
        generator: if given, the seed is drawn from it instead, so that one generator drives many calls.
        noise_keys: an integer >= 0 for each prompt; None takes their indices. Processes that share the prompts of one
            batch draw what one process would if each passes the prompts' places in the whole batch.
        on_token: called with every `Event` as it happens.

    Raises:
        InferError: a prompt is empty or too long, or a setting is out of range.
    Cost: each prompt is prefilled once whatever n is; then one pass of at most batch_size tokens a step.
    """
    if isinstance(prompts, str | bytes):
        raise InferError(f"prompts is the text {prompts!r}; give a sequence of token-id sequences")
    engine = Engine(
        model,
        check_tokens(prompts, "prompt"),
        n=n,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        stop_ids=stop_ids,
        batch_size=batch_size,
        max_len=max_len,
        device=device_of(model, device),
        seed=_seed(seed, generator),
        noise_keys=noise_keys,
    )
    drawn: list[list[Event]] = [[] for _ in range(len(prompts) * n)]
    while not engine.is_done:
        for event in engine.step():
            drawn[event.prompt_index * n + event.sample_index].append(event)
            if on_token is not None:
                on_token(event)
    return [_completion(events) for events in drawn]


def stream(
    model: Model,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    stop_ids: Collection[int] = (),
    max_len: int | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """The tokens of `generate(model, [prompt], ...)[0]`, each as soon as it is drawn; a stop token is the last.

    Arguments and errors are those of `generate`; errors are raised by the call, not by the first `next`.
    """
    engine = Engine(
        model,
        check_tokens([prompt], "prompt"),
        n=1,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        stop_ids=stop_ids,
        batch_size=1,
        max_len=max_len,
        device=device_of(model, device),
        seed=_seed(seed, generator),
    )
    return _tokens(engine)


def _tokens(engine: Engine) -> Iterator[int]:
    while not engine.is_done:
        for event in engine.step():
            yield event.token


def _completion(events: list[Event]) -> Completion:
    last = events[-1]
    assert last.finish_reason is not None
    return Completion(
        last.prompt_index, [event.token for event in events], [event.log_prob for event in events], last.finish_reason
    )


def _seed(seed: int, generator: torch.Generator | None) -> int:
    if generator is not None:
        return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    if not 0 <= seed < 2**64:
        raise InferError(f"seed={seed} is not in [0, 2**64); use seed={seed % 2**64}")
    return seed
