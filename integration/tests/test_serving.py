"""octad_infer serves every mixer of octad_arch: ragged rows that come and go, equal to runs without a cache."""

from dataclasses import replace

import pytest
import torch
from octad_arch import (
    MLP,
    Attention,
    BorrowingAttention,
    CompressedAttention,
    Compressor,
    Decoder,
    DifferentialAttention,
    EntryIndexer,
    GatedDeltaNet,
    Indexer,
    KimiDeltaAttention,
    LatentAttention,
    Layer,
    LendingAttention,
    LightningAttention,
    Mamba2,
    RoPE,
)
from octad_infer import InferError, KVCache, Sampling, generate, prefill

TURN = RoPE(50.0, neighbours=True)
FULL = Attention(4, 2, 6)
LATENT = LatentAttention(3, 9, 10, 6, 7, d_query_latent=11, bias=True)
V4 = CompressedAttention(4, 12, 6, 10, 3, 2, 5, TURN, compressor=Compressor(2, 6, True, TURN))
MIXERS = {
    "grouped": [FULL, FULL],
    "windows": [replace(FULL, window=4), FULL],
    "sinks": [replace(FULL, sinks=True), replace(FULL, softcap=3.0)],
    "latents": [LATENT, LATENT],
    "latents and an indexer": [LATENT, replace(LATENT, indexer=Indexer(7, 8, 4, RoPE(channels=6)))],
    "Gated DeltaNet and attention": [GatedDeltaNet(4, 2, 6, 5), FULL],
    "Kimi Delta Attention and latents": [KimiDeltaAttention(3, 6), LATENT],
    "Mamba-2 alone": [Mamba2(4, 6, 5, groups=2), Mamba2(2, 8, 3, bias=True)],
    "lightning and attention": [LightningAttention(4, 6, 0.5), FULL],
    "differential": [DifferentialAttention(4, 2, 6), FULL],
    "borrowed": [LendingAttention(4, 2, 6), BorrowingAttention(4, 2, 6, lender=0)],
    "compressed": [replace(V4, compressor=None), replace(V4, compressor=Compressor(3, 6, False, TURN))],
    "compressed with an indexer": [V4, replace(V4, indexer=EntryIndexer(5, 8, 2, Compressor(2, 6, True, TURN)))],
    "compressed beside attention": [V4, FULL],
}
PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6, 5], [8], [2, 7, 1, 8, 2], [9, 9, 8, 1, 7, 3, 6, 4, 0, 1, 2], [5, 5]]


def built(mixers):
    model = Decoder(31, 24, tuple(Layer(mixer, MLP(20)) for mixer in mixers)).build(dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@torch.no_grad()
def recomputed(model, prompt, count):
    """Greedy tokens and their log-probabilities, each from all tokens before it."""
    tokens, log_probs = list(prompt), []
    for _ in range(count):
        row = model(torch.tensor([tokens]))[0, -1].log_softmax(-1)
        tokens.append(int(row.argmax()))
        log_probs.append(float(row.max()))
    return tokens[len(prompt) :], log_probs


@pytest.mark.parametrize("mixers", MIXERS.values(), ids=MIXERS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_generation_equals_recomputation_without_a_cache(mixers, batch_size):
    """Rows leave at stop tokens at different times, so that others join those in the middle of their text."""
    model, stop = built(mixers), [0, 7]
    completions = generate(
        model, PROMPTS, max_new_tokens=9, sampling=Sampling(temperature=0), batch_size=batch_size, stop_ids=stop
    )
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        tokens, log_probs = recomputed(model, prompt, 9)
        end = next((place + 1 for place, token in enumerate(tokens) if token in stop), 9)
        assert completion.tokens == tokens[:end]
        assert completion.log_probs == pytest.approx(log_probs[:end], abs=1e-9)


@pytest.mark.parametrize("mixers", MIXERS.values(), ids=MIXERS)
def test_samples_do_not_depend_on_their_neighbours(mixers):
    model, sampling = built(mixers), Sampling(1.0, top_p=0.9)
    together = generate(model, PROMPTS, n=2, max_new_tokens=6, sampling=sampling, batch_size=4, seed=5)
    alone = generate(model, PROMPTS, n=2, max_new_tokens=6, sampling=sampling, batch_size=1, seed=5)
    assert [completion.tokens for completion in together] == [completion.tokens for completion in alone]


@pytest.mark.parametrize("mixers", MIXERS.values(), ids=MIXERS)
@torch.no_grad()
def test_a_cache_takes_tokens_back_or_says_which_layers_cannot(mixers):
    model = built(mixers)
    cache, _ = prefill(model, [[1, 2, 3, 4, 5, 6], [1, 2, 3]], device=torch.device("cpu"))
    if cache._states:
        held = cache.lengths
        message = "keep states" if held.any() else "give 0 <= length <= held"
        with pytest.raises(InferError, match=message):
            cache.truncate([2, 3])
        assert cache.lengths.tolist() == held.tolist()
        return
    cache.truncate([2, 3])
    tokens, positions = torch.tensor([[9, 8], [7, 6]]), torch.tensor([[2, 3], [3, 4]])
    after = model(tokens, positions=positions, cache=cache)[:, -1]
    for row, whole in zip(after, ([1, 2, 9, 8], [1, 2, 3, 7, 6]), strict=True):
        torch.testing.assert_close(row, model(torch.tensor([whole]))[0, -1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mixers", MIXERS.values(), ids=MIXERS)
def test_a_cache_holds_what_the_specification_counts(mixers):
    """Twelve tokens close every window of two or three."""
    model = built(mixers)
    cache = KVCache(2, capacity=12)
    with torch.no_grad():
        model(torch.ones(2, 12, dtype=torch.long), positions=torch.arange(12).expand(2, 12), cache=cache)
    cost = model.spec.cost(12)
    kept = sum(buffer.numel() for buffer in (*cache._keys.values(), *cache._values.values()))
    kept += sum(int(entries.slots.lengths.sum()) * entries.values[0, 0].numel() for entries in cache._lists.values())
    states = sum(state.numel() for state in cache._states.values())
    assert kept == pytest.approx(2 * 12 * cost.cache_elements)
    assert states == 2 * cost.state_elements
