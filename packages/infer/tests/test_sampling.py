import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_infer import (
    InferError,
    Sampling,
    filter_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    sample,
    seen_tokens,
)


def logits_of(seed, batch=3, vocab=23, scale=3.0, ties=False):
    logits = torch.randn(batch, vocab, generator=torch.Generator().manual_seed(seed)) * scale
    return logits.round() if ties else logits


@pytest.fixture(scope="module")
def processors():
    return pytest.importorskip("transformers.generation.logits_process")


@pytest.mark.parametrize("seed", range(6))
def test_filters_match_hugging_face(processors, seed):
    # the same comparisons on the same float32 numbers: equal bit for bit, ties included
    logits = logits_of(seed, ties=seed % 2 == 1)
    tokens = torch.randint(23, (3, 7), generator=torch.Generator().manual_seed(seed))
    for k in (1, 4, 23, 100):
        assert torch.equal(keep_top_k(logits, k), processors.TopKLogitsWarper(k)(tokens, logits))
    for p in (1e-6, 0.3, 0.9, 0.999):
        assert torch.equal(keep_top_p(logits, p), processors.TopPLogitsWarper(p)(tokens, logits))
    for p in (0.01, 0.3, 1.0):
        assert torch.equal(keep_min_p(logits, p), processors.MinPLogitsWarper(p)(tokens, logits))
    for penalty in (0.5, 1.3):
        expected = processors.RepetitionPenaltyLogitsProcessor(penalty)(tokens, logits)
        assert torch.equal(penalize_repetition(logits, seen_tokens(tokens, 23), penalty), expected)


@pytest.mark.parametrize("seed", range(4))
def test_filter_logits_applies_them_in_hugging_faces_order(processors, seed):
    logits = logits_of(seed)
    tokens = torch.randint(23, (3, 5), generator=torch.Generator().manual_seed(seed))
    expected = logits
    for processor in (
        processors.RepetitionPenaltyLogitsProcessor(1.2),
        processors.TemperatureLogitsWarper(0.7),
        processors.TopKLogitsWarper(9),
        processors.TopPLogitsWarper(0.8),
        processors.MinPLogitsWarper(0.05),
    ):
        expected = processor(tokens, expected)
    got = filter_logits(logits, Sampling(0.7, 9, 0.8, 0.05, 1.2), seen_tokens(tokens, 23))
    assert torch.equal(got, expected)


@given(seed=st.integers(0, 10**6), k=st.integers(1, 30), p=st.floats(0.001, 1.0), min_p=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_filters_always_keep_the_most_likely_token(seed, k, p, min_p):
    logits = logits_of(seed, scale=10.0)
    kept = filter_logits(logits, Sampling(0.5, k, p, min_p))
    assert torch.equal(kept.argmax(-1), logits.argmax(-1))
    assert kept.isfinite().any(-1).all()


def test_seen_tokens_ignores_padding():
    seen = seen_tokens(torch.tensor([[1, -1, 3], [-1, -1, -1], [0, 0, 4]]), 5)
    assert [row.nonzero()[:, 0].tolist() for row in seen] == [[1, 3], [], [0, 4]]


def test_sample_is_greedy_at_temperature_zero():
    logits = logits_of(0)
    assert torch.equal(sample(logits, Sampling(temperature=0)), logits.argmax(-1))


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=0.5, top_k=6), Sampling(top_p=0.7), Sampling(1.5, min_p=0.1)]
)
def test_sample_draws_from_the_filtered_distribution(sampling):
    logits = logits_of(3, batch=1, vocab=9, scale=1.0)
    draws = 20_000
    tokens = sample(logits.expand(draws, 9), sampling, generator=torch.Generator().manual_seed(1))
    observed = torch.bincount(tokens, minlength=9).double()
    expected = filter_logits(logits, sampling)[0].double().softmax(-1) * draws
    assert (observed[expected == 0] == 0).all()
    is_kept = expected > 0
    chi_squared = ((observed - expected)[is_kept] ** 2 / expected[is_kept]).sum()
    assert chi_squared < 26.1  # 8 degrees of freedom at p = 0.001; fewer are kept


def test_sample_inverts_the_cumulative_distribution():
    logits = torch.tensor([0.1, 0.0, 0.5, 0.4], dtype=torch.float64).log().expand(5, 4)
    uniform = torch.tensor([0.0, 0.0999, 0.1001, 0.5999, 1 - 2.0**-53], dtype=torch.float64)
    assert sample(logits, Sampling(), uniform=uniform).tolist() == [0, 0, 2, 2, 3]


def test_sample_of_a_row_ignores_the_other_rows():
    logits, uniform = logits_of(5, batch=6), torch.rand(6, generator=torch.Generator().manual_seed(0))
    together = sample(logits, Sampling(top_p=0.9), uniform=uniform)
    alone = [sample(logits[i : i + 1], Sampling(top_p=0.9), uniform=uniform[i : i + 1]).item() for i in range(6)]
    assert together.tolist() == alone


def test_sample_asks_for_a_source_of_randomness():
    with pytest.raises(InferError, match="pass uniform= or generator="):
        sample(logits_of(0), Sampling())
    with pytest.raises(InferError, match="needs seen"):
        sample(logits_of(0), Sampling(0, repetition_penalty=1.1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": 1e-30},
        {"temperature": float("inf")},
        {"top_k": 0},
        {"top_k": -1},
        {"top_k": 2.5},
        {"top_p": 0.0},
        {"top_p": 1.01},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": float("nan")},
    ],
)
def test_sampling_refuses_and_names_the_setting(wrong):
    with pytest.raises(InferError, match=next(iter(wrong))):
        Sampling(**wrong)
