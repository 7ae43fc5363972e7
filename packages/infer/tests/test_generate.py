import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_infer import (
    Event,
    InferError,
    KVCache,
    Sampling,
    filter_logits,
    generate,
    keyed_uniform,
    prefill,
    sample,
    score,
    seen_tokens,
    stream,
)
from torch import nn

SETTINGS = [
    Sampling(temperature=0),
    Sampling(),
    Sampling(temperature=1.3, top_k=7, top_p=0.9, min_p=0.02, repetition_penalty=1.2),
    Sampling(temperature=0, repetition_penalty=1.5),
]


def recomputed(model, prompt, prompt_index, sample_index, sampling, max_new_tokens, stop_ids=(), seed=0):
    """The definition: run the whole text again for every token, without a cache."""
    text, log_probs, reason = list(prompt), [], "length"
    for step in range(max_new_tokens):
        with torch.no_grad():
            logits = model(torch.tensor([text]))[:, -1]
        seen = seen_tokens(torch.tensor([text]), logits.shape[1])
        uniform = torch.tensor([keyed_uniform(seed, prompt_index, sample_index, step)], dtype=torch.float64)
        token = sample(logits, sampling, uniform=uniform, seen=seen).item()
        text.append(token)
        log_probs.append(logits.log_softmax(-1)[0, token].item())
        if token in stop_ids:
            reason = "stop"
            break
    return text[len(prompt) :], log_probs, reason


def prompts_of(seed, count, longest=9, vocab=37):
    rng = random.Random(seed)
    return [[rng.randrange(vocab) for _ in range(rng.randint(1, longest))] for _ in range(count)]


@pytest.mark.parametrize("sampling", SETTINGS)
@pytest.mark.parametrize(("n", "batch_size"), [(1, 16), (3, 4), (2, 1), (5, 3)])
def test_generate_equals_recomputation_without_a_cache(model, sampling, n, batch_size):
    prompts = prompts_of(n, 5)
    stop_ids = [1, 5, 9]
    got = generate(
        model, prompts, n=n, max_new_tokens=8, sampling=sampling, stop_ids=stop_ids, batch_size=batch_size, seed=4
    )
    assert [c.prompt_index for c in got] == [i for i in range(5) for _ in range(n)]
    for number, completion in enumerate(got):
        index, k = divmod(number, n)
        tokens, log_probs, reason = recomputed(model, prompts[index], index, k, sampling, 8, stop_ids, seed=4)
        assert (completion.tokens, completion.finish_reason) == (tokens, reason)
        # float64 through three layers: sums in another order
        assert completion.log_probs == pytest.approx(log_probs, abs=1e-10)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_generate_does_not_depend_on_the_batch(model, data):
    prompts = data.draw(st.lists(st.lists(st.integers(0, 36), min_size=1, max_size=12), min_size=1, max_size=6))
    n, batch_size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    stop_ids = data.draw(st.sets(st.integers(0, 36), max_size=8))
    common = {"n": n, "max_new_tokens": 6, "stop_ids": stop_ids, "seed": data.draw(st.integers(0, 2**64 - 1))}
    some = generate(model, prompts, batch_size=batch_size, **common)
    all_at_once = generate(model, prompts, batch_size=64, **common)
    assert [c.tokens for c in some] == [c.tokens for c in all_at_once]
    assert [c.finish_reason for c in some] == [c.finish_reason for c in all_at_once]


@pytest.mark.parametrize("shape", [(4, 4), (6, 1), (4, 2)])
def test_generate_takes_any_grouping_of_heads(make_model, shape):
    grouped = make_model(heads=shape[0], kv_heads=shape[1], layers=2, seed=3)
    prompts = prompts_of(8, 3)
    got = generate(grouped, prompts, max_new_tokens=5, sampling=Sampling(0))
    for index, completion in enumerate(got):
        assert completion.tokens == recomputed(grouped, prompts[index], index, 0, Sampling(0), 5)[0]


def test_ragged_prefill_equals_each_prompt_alone(model):
    prompts = prompts_of(1, 6)
    with torch.no_grad():
        cache, logits = prefill(model, prompts, device=torch.device("cpu"))
        alone = torch.stack([model(torch.tensor([prompt]))[0, -1] for prompt in prompts])
    assert cache.lengths.tolist() == [len(p) for p in prompts]
    torch.testing.assert_close(logits, alone, rtol=1e-10, atol=1e-10)  # float64 sums in another order


def test_prefill_in_pieces_and_rollback_equal_one_pass(model):
    text = torch.tensor([prompts_of(2, 1, longest=1)[0] + list(range(12))])
    positions = torch.arange(13)[None]
    cache = KVCache(1, capacity=1)
    with torch.no_grad():
        expected = model(text)
        model(text[:, :6], positions=positions[:, :6], cache=cache)
        draft = torch.tensor([[3, 3, 3]])  # a rejected draft is taken back
        model(draft, positions=positions[:, 6:9], cache=cache)
        cache.truncate([6])
        rest = model(text[:, 6:], positions=positions[:, 6:], cache=cache)
    torch.testing.assert_close(rest, expected[:, 6:], rtol=1e-10, atol=1e-10)


def test_generate_prefills_each_prompt_once(model):
    calls = []

    def counted(tokens, *, positions=None, cache=None):
        calls.append((positions >= 0).sum().item())
        return model(tokens, positions=positions, cache=cache)

    prompts = [[1, 2, 3, 4], [5, 6, 7]]
    generate(counted, prompts, n=5, max_new_tokens=3, batch_size=3)
    assert sum(calls) == 4 + 3 + 2 * 5 * (3 - 1)  # the last token of a sample is never run


def test_generate_keeps_the_batch_full(model):
    widths = []

    def counted(tokens, *, positions=None, cache=None):
        widths.append(len(tokens) if tokens.shape[1] == 1 else 0)
        return model(tokens, positions=positions, cache=cache)

    prompts = [[1, 2]] * 9
    got = generate(counted, prompts, max_new_tokens=12, batch_size=3, stop_ids=range(0, 37, 4), seed=2)
    decoded = sum(len(c.tokens) - 1 for c in got)
    assert len({len(c.tokens) for c in got}) > 2
    assert sum(widths) == decoded
    assert max(widths) == 3


class Split(nn.Module):
    def __init__(self, whole):
        super().__init__()
        self.whole, self.rows = whole, []
        self.head = whole.head

    def hidden(self, tokens, *, positions=None, cache=None):
        kept, self.whole.head = self.whole.head, nn.Identity()
        try:
            return self.whole(tokens, positions=positions, cache=cache)
        finally:
            self.whole.head = kept

    def logits_at(self, hidden):
        self.rows.append(hidden.shape[:-1].numel())
        return self.head(hidden)

    def forward(self, tokens, *, positions=None, cache=None):
        return self.whole(tokens, positions=positions, cache=cache)


def test_generate_asks_a_split_model_for_the_last_logits_only(make_model):
    whole = make_model(seed=5)
    prompts = prompts_of(3, 4)
    expected = generate(whole, prompts, max_new_tokens=5)
    split = Split(whole)
    got = generate(split, prompts, max_new_tokens=5)
    assert split.rows == [4]
    assert [c.tokens for c in got] == [c.tokens for c in expected]


def test_generate_runs_in_evaluation_mode_and_puts_modes_back(make_model):
    noisy = make_model(dropout=0.5).train()
    noisy.mlps[0].eval()
    before = [m.training for m in noisy.modules()]
    prompts = prompts_of(0, 3)
    got = generate(noisy, prompts, max_new_tokens=4)
    assert [m.training for m in noisy.modules()] == before
    assert [c.tokens for c in got] == [c.tokens for c in generate(make_model(), prompts, max_new_tokens=4)]
    scores = score(noisy, prompts)
    assert not any(s.requires_grad for s in scores)
    torch.testing.assert_close(scores, score(make_model(), prompts))


def test_on_token_reports_every_token_as_it_comes(model):
    events: list[Event] = []
    got = generate(model, [[1], [2, 3]], n=2, max_new_tokens=4, stop_ids=[0, 7], on_token=events.append)
    for number, completion in enumerate(got):
        mine = [e for e in events if (e.prompt_index, e.sample_index) == divmod(number, 2)]
        assert [e.token for e in mine] == completion.tokens
        assert [e.log_prob for e in mine] == completion.log_probs
        assert [e.finish_reason for e in mine] == [None] * (len(mine) - 1) + [completion.finish_reason]


@pytest.mark.parametrize("sampling", SETTINGS)
def test_stream_gives_the_tokens_of_generate(model, sampling):
    common = {"max_new_tokens": 7, "sampling": sampling, "stop_ids": [3], "seed": 9}
    assert list(stream(model, [4, 5], **common)) == generate(model, [[4, 5]], **common)[0].tokens


def test_generator_drives_calls_one_after_another(model):
    def twice(seed):
        generator = torch.Generator().manual_seed(seed)
        return [generate(model, [[1, 2]], max_new_tokens=9, generator=generator)[0].tokens for _ in range(2)]

    assert twice(0) == twice(0)
    assert twice(0)[0] != twice(0)[1]
    assert twice(0) != twice(1)


def test_noise_keys_let_processes_share_a_batch(model):
    prompts = prompts_of(3, 6)
    whole = generate(model, prompts, n=2, max_new_tokens=8, seed=7)
    for rank in range(2):
        share = range(rank, len(prompts), 2)
        part = generate(model, prompts[rank::2], n=2, max_new_tokens=8, seed=7, noise_keys=share)
        assert [c.tokens for c in part] == [whole[2 * place + k].tokens for place in share for k in range(2)]


def test_samples_of_one_prompt_differ_and_follow_the_model(model):
    got = generate(model, [[1, 2]], n=4000, max_new_tokens=1, batch_size=4000)
    observed = torch.bincount(torch.tensor([c.tokens[0] for c in got]), minlength=37).double()
    with torch.no_grad():
        expected = model(torch.tensor([[1, 2]]))[0, -1].softmax(-1) * 4000
    is_common = expected > 5
    chi_squared = ((observed - expected)[is_common] ** 2 / expected[is_common]).sum()
    assert chi_squared < 67.985  # 36 degrees of freedom at p = 0.001


def test_score_gives_log_probabilities_of_every_token(model):
    sequences = [*prompts_of(7, 7), [3]]
    for batch_size in (1, 3, 50):
        got = score(model, sequences, batch_size=batch_size)
        for sequence, scores in zip(sequences, got, strict=True):
            with torch.no_grad():
                expected = model(torch.tensor([sequence])).log_softmax(-1)[0]
            by_hand = [expected[t - 1, sequence[t]].item() for t in range(1, len(sequence))]
            assert scores.tolist() == pytest.approx(by_hand, abs=1e-10)


def test_score_agrees_with_the_log_probs_of_generate(model):
    prompts = prompts_of(4, 3)
    completions = generate(model, prompts, max_new_tokens=6, sampling=Sampling(0.7, top_p=0.9))
    scores = score(model, [prompts[c.prompt_index] + c.tokens for c in completions])
    for completion, scored in zip(completions, scores, strict=True):
        assert completion.log_probs == pytest.approx(scored[-len(completion.tokens) :].tolist(), abs=1e-10)


def test_score_and_generate_of_nothing_are_nothing(model):
    assert score(model, []) == []
    assert generate(model, [], max_new_tokens=3) == []


def test_prompts_may_be_tensors_or_arrays(model):
    rows = [[1, 2, 3], [4, 5, 6]]
    expected = generate(model, rows, max_new_tokens=3)
    for prompts in (
        torch.tensor(rows),
        torch.tensor(rows).numpy(),
        [torch.tensor(rows[0], dtype=torch.int32), rows[1]],
    ):
        assert generate(model, prompts, max_new_tokens=3) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_generate_on_cuda_equals_cpu(make_model):
    prompts, common = prompts_of(12, 7), {"n": 2, "max_new_tokens": 12, "stop_ids": [3, 4], "batch_size": 5}
    on_gpu = make_model().cuda()
    for sampling in SETTINGS:
        expected = generate(make_model(), prompts, sampling=sampling, **common)
        got = generate(on_gpu, prompts, sampling=sampling, **common)
        assert [c.tokens for c in got] == [c.tokens for c in expected]
    torch.testing.assert_close([s.cpu() for s in score(on_gpu, prompts)], score(make_model(), prompts))


def test_float32_log_probs_stay_near_float64(make_model):
    single, double = make_model(dtype=torch.float32), make_model()
    prompts = prompts_of(6, 3)
    for a, b in zip(score(single, prompts), score(double, prompts), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-3)  # ~1e4 float32 roundings of size 1e-7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": [[1], []]}, "prompt 1 is empty"),
        ({"prompts": [[1, -1]]}, "token id -1"),
        ({"prompts": ["ab"]}, "give token ids"),
        ({"prompts": [[1.5]]}, "not a sequence of integers"),
        ({"prompts": [None]}, "not a sequence of integers"),
        ({"prompts": "ab"}, "give a sequence"),
        ({"n": 0}, "n=0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"max_len": 5, "prompts": [[1], [1, 2, 3]]}, "use max_new_tokens <= 2"),
    ],
)
def test_generate_refuses(model, arguments, message):
    with pytest.raises(InferError, match=message):
        generate(model, **{"prompts": [[1]], "max_new_tokens": 3, **arguments})


@pytest.mark.parametrize("noise_keys", [[0], [0, 1, 2], [0, -1]])
def test_generate_refuses_noise_keys_that_do_not_fit(model, noise_keys):
    with pytest.raises(InferError, match="each of the 2 prompts"):
        generate(model, [[1], [2]], max_new_tokens=2, noise_keys=noise_keys)


def test_stream_refuses_at_the_call(model):
    with pytest.raises(InferError, match="empty"):
        stream(model, [], max_new_tokens=2)


def test_max_len_is_reached_but_not_passed(model):
    assert len(generate(model, [[1, 2, 3]], max_new_tokens=3, max_len=6)[0].tokens) == 3


def test_generate_names_logits_that_are_not_numbers():
    def broken(tokens, *, positions=None, cache=None):
        k = torch.zeros(*tokens.shape, 4)[:, None]
        cache.attend(0, k, k, k, positions)
        return torch.full((*tokens.shape, 5), math.nan)

    for sampling in (Sampling(), Sampling(0), Sampling(repetition_penalty=1.1)):
        with pytest.raises(InferError, match="logits of prompt 0 after 2 tokens are not numbers"):
            generate(broken, [[1, 2]], max_new_tokens=2, sampling=sampling)


def test_filtered_tokens_are_never_sampled(model):
    sampling = Sampling(top_k=2)
    got = generate(model, [[8]], n=200, max_new_tokens=1, sampling=sampling, batch_size=50)
    with torch.no_grad():
        kept = filter_logits(model(torch.tensor([[8]]))[0, -1], sampling).isfinite().nonzero()[:, 0]
    assert {c.tokens[0] for c in got} == set(kept.tolist())
