"""Latent attention and its indexer: absorbed against expanded, sparse against loops, counts against torch's."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from octad_arch import (
    MLP,
    ArchError,
    Context,
    Decoder,
    DynamicCache,
    Indexer,
    LatentAttention,
    Layer,
    RoPE,
    SoftmaxRouter,
)
from octad_arch.context import context_of
from octad_arch.variants.indexer import Selection
from torch.utils.flop_counter import FlopCounterMode

PLAIN = LatentAttention(3, 9, 10, 6, 7, scale=0.4)
MIXERS = {
    "latent queries": LatentAttention(3, 9, 10, 6, 7, d_query_latent=11, bias=True, output_bias=True),
    "queries from x": PLAIN,
    "no position": replace(PLAIN, position=None),
    "narrow latent": LatentAttention(5, 3, 4, 2, 8, position=RoPE(50.0)),
    "indexer": LatentAttention(3, 9, 10, 6, 7, 11, indexer=Indexer(7, 8, 4, RoPE(channels=6))),
    "indexer from x": replace(PLAIN, indexer=Indexer(7, 8, 3)),
}
LENGTH = 17
TOKENS = torch.randint(0, 31, (2, LENGTH), generator=torch.Generator().manual_seed(1))
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def built(mixer, dtype=torch.float64, layers=2):
    model = Decoder(31, 24, (Layer(mixer, MLP(20)),) * layers).build(dtype=dtype)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


def cached(model, tokens, positions, cuts=(0, 5, 6, 7, LENGTH)):
    cache, parts = DynamicCache(), [slice(*pair) for pair in pairwise(cuts)]
    return torch.cat([model(tokens[:, part], positions[:, part], cache) for part in parts], 1)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_absorbed_form_equals_the_expanded_one(name, dtype):
    model = built(MIXERS[name], dtype)
    tolerance = EXACT if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    with torch.no_grad():
        together = cached(model, TOKENS, torch.arange(LENGTH).expand_as(TOKENS))
        torch.testing.assert_close(together, model(TOKENS), **tolerance)


@pytest.mark.parametrize("name", MIXERS)
def test_ragged_rows_equal_each_row_alone(name):
    model, positions = built(MIXERS[name]), torch.arange(LENGTH).repeat(2, 1)
    positions[1] = (positions[1] - 4).clamp(min=-1)
    with torch.no_grad():
        together = cached(model, TOKENS, positions)
        assert together.isfinite().all()
        torch.testing.assert_close(together[0], model(TOKENS[:1])[0], **EXACT)
        torch.testing.assert_close(together[1, 4:], model(TOKENS[1:, 4:])[0], **EXACT)


def test_gradients_flow_alike_through_both_forms():
    gradients = []
    for run in (lambda model: model(TOKENS), lambda model: cached(model, TOKENS, torch.arange(LENGTH).repeat(2, 1))):
        model = built(PLAIN)
        run(model).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients, **EXACT)


def test_latent_attention_equals_a_loop_over_heads():

    mixer = MIXERS["no position"]
    module, x = built(mixer).layers[0].mixer.block, torch.randn(2, 5, 24, dtype=torch.float64)
    spec, weights = module.spec, dict(module.named_parameters())
    down, up = weights["latent.weight"], weights["key_value.weight"].view(spec.num_heads, -1, spec.d_latent)
    expected = torch.zeros_like(x)
    with torch.no_grad():
        latent, shared = (x @ down.T).split((spec.d_latent, spec.d_rope), -1)
        latent = latent / (latent.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weights["latent_norm.weight"]
        for head in range(spec.num_heads):
            width, rows = spec.d_nope + spec.d_rope, up[head]
            q = x @ weights["query.weight"][head * width : (head + 1) * width].T
            k = torch.cat((latent @ rows[: spec.d_nope].T, shared), -1)
            scores = (q @ k.transpose(-1, -2) * 0.4).masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -torch.inf)
            given = scores.softmax(-1) @ (latent @ rows[spec.d_nope :].T)
            expected += given @ weights["output.weight"][:, head * spec.d_value : (head + 1) * spec.d_value].T
        torch.testing.assert_close(module(x, Context(torch.arange(5)[None], {})), expected, **EXACT)


@pytest.mark.parametrize("name", [name for name in MIXERS if "indexer" not in name])
def test_cost_is_what_torch_counts(name):
    spec = Decoder(31, 24, (Layer(MIXERS[name], MLP(20)),) * 2)
    model, seq = spec.build(), 16
    with FlopCounterMode(display=False) as forward:
        loss = model(TOKENS[:, :seq]).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    cost = spec.cost(seq)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert cost.forward_flops * 2 * seq == forward.get_total_flops()
    # Keys and values differ in width, so torch takes the path on CPUs that stores QKᵀ and does not compute it again.
    assert (cost.backward_flops - cost.attention_flops // 2) * 2 * seq == backward.get_total_flops()


def test_cost_of_the_indexer_and_of_the_absorbed_form_is_what_torch_counts():
    mixer = MIXERS["indexer"]
    dense, sparse = (built(each, torch.float32, 1) for each in (replace(mixer, indexer=None), mixer))
    counts = []
    for model in (dense, sparse):
        with FlopCounterMode(display=False) as counter:
            model(TOKENS[:, :16])
        counts.append(counter.get_total_flops())
    assert sparse.spec.cost().parameters == sum(parameter.numel() for parameter in sparse.parameters())
    # A mask does not save what it hides, so torch counts all 16 keys, of which `cost` counts the 4 chosen.
    hidden = 2 * 3 * (10 + 6 + 7) * (16 - 4)
    assert sparse.spec.cost(16).forward_flops + hidden - dense.spec.cost(16).forward_flops == (
        counts[1] - counts[0]
    ) // (2 * 16)
    with FlopCounterMode(display=False) as counter:
        cached(dense, TOKENS[:, :16], torch.arange(16).repeat(2, 1), (0, 16))
    absorbed = dense.spec.cost(16).matmul_flops + 2 * 3 * (2 * 9 + 6) * 16
    assert absorbed * 2 * 16 == counter.get_total_flops()


@pytest.mark.parametrize("name", MIXERS)
def test_cache_keeps_what_the_cost_says(name):
    model, cache = built(MIXERS[name]), DynamicCache()
    model(TOKENS, torch.arange(LENGTH).repeat(2, 1), cache)
    kept = sum(values.numel() for values, _ in cache._lists.values())
    assert kept == model.spec.cost().cache_elements * TOKENS.numel()


@pytest.mark.parametrize("top_k", [LENGTH, LENGTH + 5])
def test_indexer_that_chooses_all_equals_dense_attention_exactly(top_k):
    sparse = built(replace(MIXERS["indexer"], indexer=Indexer(7, 8, top_k)))
    dense = Decoder(31, 24, (Layer(replace(MIXERS["indexer"], indexer=None), MLP(20)),) * 2).build(dtype=torch.float64)
    dense.load_state_dict({name: value for name, value in sparse.state_dict().items() if ".indexer." not in name})
    positions = torch.arange(LENGTH).repeat(2, 1)
    with torch.no_grad():
        assert torch.equal(sparse(TOKENS), dense(TOKENS))
        assert torch.equal(cached(sparse, TOKENS, positions), cached(dense, TOKENS, positions))


def test_indexer_chooses_the_best_by_the_formula_and_the_earliest_of_equals():
    spec = Indexer(2, 6, 3, RoPE(100.0))
    model = built(replace(PLAIN, indexer=spec))
    module, x = model.layers[0].mixer.block.indexer, torch.randn(1, 9, 24, dtype=torch.float64)
    context = context_of(TOKENS[:1, :9], None, model._rotation_keys, torch.float32)
    with torch.no_grad():
        selection = module(x, x, context)
        rotation = context.rotations[spec.position, 6]
        k = spec.position.rotate(module.key_norm(module.key(x))[:, None], rotation)[0, 0]
        q = spec.position.rotate(module.query(x).view(1, 9, 2, 6).transpose(1, 2), rotation)[0]
        w, ties = module.weight(x)[0], 0
        for t in range(9):
            scores = [sum(float(w[t, h] * (q[h, t] @ k[s]).relu()) for h in range(2)) for s in range(t + 1)]
            ranked = sorted(range(t + 1), key=lambda s: (-scores[s], s))
            ties += len(set(scores)) < len(scores)
            assert set(ranked[:3]) <= set(selection.chosen[0, t].tolist())
            bias = selection(torch.arange(9)[None], torch.arange(9)[None])[0, 0, t, : t + 1]
            assert (bias == 0).nonzero().flatten().tolist() == sorted(ranked[:3])
    assert ties >= 2  # scores that are 0 for every head


def test_indexer_learns_through_its_scores():
    module = built(MIXERS["indexer from x"]).layers[0].mixer.block.indexer
    x, q, k = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 4, 24), (2, 7, 4, 8), (2, 4, 8)))
    module.scores(x, q.requires_grad_(), k.requires_grad_()).sum().backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in (q, k, module.weight.weight))


def test_selection_hides_all_other_keys_whatever_their_order():
    bias = Selection(torch.tensor([[[2, 0], [5, 3]]]))(torch.tensor([[2, 5]]), torch.tensor([[3, -1, 5, 2, 0, 4, 1]]))
    seen = [[False, True, False, True, True, False, False], [True, False, True, False, False, False, False]]
    assert (bias == 0)[0, 0].tolist() == seen  # padding reads as position 0, which the positions hide themselves


def test_latent_attention_refuses_what_cannot_be():
    with pytest.raises(ArchError, match="d_latent=0"):
        LatentAttention(2, 0, 4, 4, 4)
    with pytest.raises(ArchError, match="d_head=5 must be even"):
        LatentAttention(2, 3, 4, 5, 4)
    with pytest.raises(ArchError, match="top_k=0"):
        Indexer(2, 4, 0)
    with pytest.raises(ArchError, match="kept_groups=3 of groups=2"):
        SoftmaxRouter(2, groups=2, kept_groups=3)
