"""Compressed entries, the attention that reads them, and experts looked up by token id."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    CompressedAttention,
    Compressor,
    Decoder,
    DynamicCache,
    EntryIndexer,
    HashMoE,
    Initialization,
    Layer,
    LimitedGating,
    ParallelLayer,
    RoPE,
    SigmoidRouter,
    SoftmaxRouter,
    SwiGLU,
    sqrt_softplus,
)
from torch.utils.flop_counter import FlopCounterMode

VOCAB, WIDTH, LENGTH = 31, 24, 13
TOKENS = torch.randint(VOCAB, (2, LENGTH), generator=torch.Generator().manual_seed(1))
TURN = RoPE(50.0, neighbours=True)
PLAIN = CompressedAttention(4, 12, 6, 10, 3, 2, 5, TURN)
HEAVY = replace(PLAIN, compressor=Compressor(3, 6, False, TURN))
OVERLAPPING = replace(PLAIN, compressor=Compressor(2, 6, True, TURN))
SPARSE = replace(OVERLAPPING, indexer=EntryIndexer(5, 8, 2, Compressor(2, 6, True, TURN)))
FORMS = {
    "window": PLAIN,
    "heavy": HEAVY,
    "overlapping": OVERLAPPING,
    "sparse": SPARSE,
    "every token": replace(PLAIN, compressor=Compressor(1, 6, True, TURN)),
    "one group": replace(HEAVY, groups=1, window=50, d_rope=12, compressor=Compressor(4, 12, False, TURN)),
}


def decoder(mixer, feed_forward=None, kind=Layer):
    layer = kind(mixer, feed_forward or MLP(20))
    return Decoder(VOCAB, WIDTH, (layer, layer), initialization=Initialization(0.3))


def randomised(spec):
    model, generator = spec.build(), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("name", FORMS)
def test_causal_exactly_cached_at_every_boundary_and_counted(name):
    model = randomised(decoder(FORMS[name]))
    embedded = []
    hook = model.embedding.register_forward_hook(lambda module, given, result: embedded.append(result))
    logits = model(TOKENS)
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[:, :8].square().sum(), embedded[0], retain_graph=True)
    assert (gradient[:, 8:] == 0).all() and (gradient[:, :8] != 0).any(-1).all()
    logits.square().mean().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert all("indexer" in name for name in without) and bool(without) == (name == "sparse")

    wide, positions = model.double(), torch.arange(LENGTH).expand(2, -1)
    with torch.no_grad():
        whole = wide(TOKENS)
        for cuts in [(0, 1, 2, 3, 4, 5, 13), (0, 7, 8, 13), (0, 12, 13), (0, 4, 9, 13), (0, *range(1, 14))]:
            cache = DynamicCache()
            parts = [wide(TOKENS[:, a:b], positions[:, a:b], cache) for a, b in pairwise(cuts)]
            torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FORMS)
def test_cost_is_what_is_built_counted_and_kept(name):
    mixer = FORMS[name]
    spec, heads = decoder(replace(mixer, window=99)), 2 * mixer.num_heads * mixer.d_head * 2
    model = spec.build()
    cost = spec.cost(LENGTH)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(TOKENS)
    masked = 0  # entries that the indexer has hidden are multiplied all the same
    if mixer.indexer is not None:
        masked = 2 * heads * (LENGTH // 2 - mixer.indexer.top_k)
    assert counter.get_total_flops() == TOKENS.numel() * (cost.forward_flops + masked)

    cache = DynamicCache()
    model(TOKENS[:, :12], torch.arange(12).expand(2, -1), cache)
    kept = sum(values.numel() for values, _ in cache._lists.values()) / (2 * 12)
    states = sum(state.numel() for state in cache._states.values()) / 2
    assert states == cost.state_elements
    assert kept <= cost.cache_elements < kept + 4  # a part of an entry a token, rounded up


def test_sparse_sees_the_best_entries_alone():
    """With one entry chosen, changing any other entry's tokens outside the window changes nothing."""
    mixer = replace(SPARSE, window=1, indexer=replace(SPARSE.indexer, top_k=1))
    model = randomised(Decoder(VOCAB, WIDTH, (Layer(mixer, MLP(20)),), initialization=Initialization(0.3)))
    embedded = []
    model.embedding.register_forward_hook(lambda module, given, result: embedded.append(result))
    logits = model(TOKENS)
    (gradient,) = torch.autograd.grad(logits[:, -1].square().sum(), embedded[0])
    used = (gradient != 0).any(-1).sum(-1)
    assert (used <= 1 + 4).all() and (used > 1).all()  # itself, and the two windows of one entry


def test_an_empty_row_keeps_its_open_windows():
    """Rows that get nothing in a step, and rows whose windows close at different times."""
    model, cache = randomised(decoder(SPARSE)).double(), DynamicCache()
    steps = [([0, 1, 2, 3, 4], [-1, -1, 0, 1, 2]), ([5], [-1]), ([-1], [3]), ([6, 7, 8], [4, 5, 6])]
    rows, tokens = ([], []), torch.randint(VOCAB, (2, 9), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for step in steps:
            positions = torch.tensor(step)
            given = tokens.gather(1, positions.clamp(min=0))
            logits = model(given, positions, cache)
            for row in range(2):
                rows[row].append(logits[row][positions[row] >= 0])
        for row, length in ((0, 9), (1, 7)):
            alone = model(tokens[row : row + 1, :length])[0]
            torch.testing.assert_close(torch.cat(rows[row]), alone, rtol=1e-9, atol=1e-9)


HASHED = HashMoE(5, 12, SigmoidRouter(2, score=sqrt_softplus), vocab_size=VOCAB, gating=LimitedGating(0.5))


@pytest.mark.parametrize("kind", [Layer, ParallelLayer])
def test_hashed_experts_follow_the_token_alone(kind):
    shared = SwiGLU(8, gating=LimitedGating(0.2))
    spec = decoder(Attention(3, 1, 8), replace(HASHED, shared=shared), kind)
    model = spec.build()
    block = model.layers[0].feed_forward if kind is ParallelLayer else model.layers[0].feed_forward.block
    chosen = []
    block._experts = lambda x, choice: chosen.append(choice.experts) or torch.zeros_like(x)
    model(TOKENS)
    assert torch.equal(chosen[0], block.table[TOKENS.flatten()])
    assert (block.table.sort(-1).values.diff(dim=-1) > 0).all()  # none twice
    assert torch.bincount(block.table.flatten(), minlength=5).min() > 0
    assert spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    model = spec.build()
    model(TOKENS).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_limited_gating_is_the_formula():
    gate, up = torch.tensor([-9.0, 0.3, 5.0]), torch.tensor([-4.0, 0.2, 6.0])
    expected = torch.tensor([-9.0, 0.3, 0.5])
    expected = expected * torch.sigmoid(expected) * torch.tensor([-0.5, 0.2, 0.5])
    torch.testing.assert_close(LimitedGating(0.5)(gate, up), expected)


def test_what_does_not_fit_is_told():
    with pytest.raises(ArchError, match="groups=3 does not divide num_heads=4"):
        replace(PLAIN, groups=3)
    with pytest.raises(ArchError, match="without a compressor"):
        replace(SPARSE, compressor=None)
    with pytest.raises(ArchError, match="windows of 3, the entries of 2"):
        replace(SPARSE, indexer=EntryIndexer(5, 8, 2, Compressor(3, 6)))
    with pytest.raises(ArchError, match="d_rope=14 of d_head=12"):
        replace(PLAIN, d_rope=14)
    with pytest.raises(ArchError, match="router that weighs"):
        HashMoE(5, 12, SoftmaxRouter(2), vocab_size=VOCAB)
    with pytest.raises(ArchError, match="limit=0"):
        LimitedGating(0.0)

    class OnlyAttends:
        def attend(self, *args, **kwargs):
            raise AssertionError

    model = decoder(HEAVY).build()
    with pytest.raises(ArchError, match="compresses its past, but OnlyAttends"):
        model(TOKENS, torch.arange(LENGTH), OnlyAttends())
