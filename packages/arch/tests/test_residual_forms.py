"""What is done to the residual stream: value residuals, re-injected embeddings, hyper-connections."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    Copies,
    Decoder,
    DynamicCache,
    GatedCopies,
    GatedDeltaNet,
    HyperConnections,
    Initialization,
    KeepValue,
    Layer,
    LayerNorm,
    ManifoldHyperConnections,
    PreNorm,
    Reinjected,
    SandwichNorm,
    Scaled,
    ValueEmbedding,
    ValueResidual,
    save_pretrained,
    sinkhorn,
)
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig
from transformers.models.deepseek_v4.modeling_deepseek_v4 import DeepseekV4HyperConnection, DeepseekV4HyperHead

VOCAB, WIDTH = 31, 24
TOKENS = torch.randint(VOCAB, (2, 11), generator=torch.Generator().manual_seed(1))
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def plain(placement=None, mixer=None, **changes):
    mixer = mixer or Attention(4, 2, 8)
    layer = Layer(mixer, MLP(20), LayerNorm(), placement or PreNorm())
    return Decoder(VOCAB, WIDTH, (layer,) * 3, initialization=Initialization(0.2), **changes)


def with_values(*mixes):
    layers = tuple(Layer(Attention(4, 2, 8, value_mix=mix), MLP(20)) for mix in mixes)
    return Decoder(VOCAB, WIDTH, layers, initialization=Initialization(0.2))


def reinjected(spec, **starts):
    return replace(spec, layers=tuple(Reinjected(layer, **starts) for layer in spec.layers))


FORMS = {
    "value residual": with_values(KeepValue(), ValueResidual(), ValueResidual(0.3, 0.9)),
    "fixed": with_values(KeepValue(), ValueResidual(is_learned=False), ValueResidual(0.6, 0.4, is_convex=True)),
    "value embedding": with_values(ValueEmbedding(VOCAB, 8), None, ValueEmbedding(VOCAB, WIDTH)),
    "lambdas": reinjected(plain()),
    "lambdas around sandwiches": reinjected(plain(Scaled(SandwichNorm(), 0.5)), carried=0.9, embedded=0.0),
    "static": plain(HyperConnections(3, is_dynamic=False), stream=Copies(3)),
    "dynamic": plain(HyperConnections(2), stream=Copies(2)),
    "dynamic with states": plain(HyperConnections(4), GatedDeltaNet(2, 2, 6, 5), stream=Copies(4)),
    "manifold": plain(ManifoldHyperConnections(4), stream=Copies(4)),
    "manifold, gated": plain(ManifoldHyperConnections(3, eps=0.0), stream=GatedCopies(3)),
    "scaled manifold and lambdas": reinjected(plain(Scaled(ManifoldHyperConnections(2), 0.5), stream=Copies(2))),
}


def randomised(spec):
    model, generator = spec.build(), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("name", FORMS)
def test_causal_cached_counted_and_trained(name):
    model = randomised(FORMS[name])
    embedded = []
    hook = model.embedding.register_forward_hook(lambda module, given, result: embedded.append(result))
    logits = model(TOKENS)
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[:, 5].sum(), embedded[0], retain_graph=True)
    assert (gradient[:, 6:] == 0).all() and (gradient[:, :6] != 0).any(-1).all()
    logits.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    with torch.no_grad():
        wide, cache, positions = model.double(), DynamicCache(), torch.arange(11).expand(2, -1)
        spans = [slice(a, b) for a, b in pairwise((0, 4, 5, 6, 11))]
        cached = torch.cat([wide(TOKENS[:, span], positions[:, span], cache) for span in spans], 1)
        torch.testing.assert_close(cached, wide(TOKENS), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(wide(TOKENS)[:1], wide(TOKENS[:1]), rtol=1e-9, atol=1e-9)
    assert model.spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    if "states" not in name:  # whose products depend on the chunk
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(TOKENS[:, :1])
        assert counter.get_total_flops() == 2 * model.spec.cost(1).forward_flops


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("placement", [HyperConnections(4, False), HyperConnections(4), ManifoldHyperConnections(4)])
def test_hyper_connections_start_as_the_pre_norm_model(placement, dtype):
    model = plain(placement, stream=Copies(4)).build(dtype=dtype)
    reference = plain().build(dtype=dtype)
    ours = dict(model.named_parameters())
    for name, parameter in reference.named_parameters():
        parameter.detach().copy_(ours[name])
    # Sinkhorn's eps of 1e-6 leaves that much of the sums.
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if isinstance(placement, ManifoldHyperConnections) else CLOSE
    torch.testing.assert_close(model(TOKENS), reference(TOKENS), **tolerance)


def test_hyper_connections_are_the_papers_equations():
    """One layer in float64, token by token, from equations 1 to 5 and 10 to 13."""
    model = randomised(plain(HyperConnections(3), stream=Copies(3))).double()
    residual = model.layers[0].mixer
    maps, n = residual.maps, 3
    H = torch.randn(1, 4, n, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    residual.block = torch.nn.Linear(WIDTH, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        output = residual(H)
        for t in range(4):
            h = H[0, t]
            normed = maps.norm(h)
            static, weight, scales = maps.static, maps.weight, maps.scales
            A_m = static[0] + scales[0] * torch.tanh(normed @ weight[0])
            A_r = static[1:].T + scales[0] * torch.tanh(normed @ weight[1:-1].T)
            B = maps.written + scales[1] * torch.tanh(normed @ weight[-1])
            read = A_m @ h
            y = residual.block(residual.input_norm(read))
            torch.testing.assert_close(output[0, t], A_r.T @ h + B[:, None] * y)


def deepseek_v4(**entries):
    return AutoConfig.for_model("deepseek_v4", hidden_size=WIDTH, hc_mult=3, rms_norm_eps=1e-3, hc_eps=1e-2, **entries)


@pytest.mark.parametrize("iterations", [1, 4])
def test_manifold_hyper_connections_equal_deepseek_v4s(iterations):
    """R is not symmetric and eps is large, so that the direction and the place of each eps would be seen."""
    placement = ManifoldHyperConnections(3, iterations, eps=1e-2, norm_eps=1e-3)
    residual = randomised(plain(placement, stream=Copies(3))).layers[1].feed_forward
    theirs = DeepseekV4HyperConnection(deepseek_v4(hc_sinkhorn_iters=iterations))
    x = torch.randn(2, 5, 3, WIDTH, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        residual.maps.scale += 1
        for name, parameter in (("fn", "weight"), ("base", "base"), ("scale", "scale")):
            getattr(theirs, name).copy_(getattr(residual.maps, parameter))
        post, comb, collapsed = theirs(x)
        y = residual.block(residual.input_norm(collapsed))
        torch.testing.assert_close(residual(x), post[..., None] * y[..., None, :] + comb.transpose(-1, -2) @ x, **CLOSE)


def test_gated_copies_equal_deepseek_v4s_head():
    stream = randomised(plain(HyperConnections(3), stream=GatedCopies(3, eps=1e-2, norm_eps=1e-3))).stream
    theirs = DeepseekV4HyperHead(deepseek_v4())
    x = torch.randn(2, 5, 3, WIDTH, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for name, parameter in (("hc_fn", "weight"), ("hc_base", "base"), ("hc_scale", "scale")):
            getattr(theirs, name).copy_(getattr(stream, parameter))
        torch.testing.assert_close(stream(x), theirs(x), **CLOSE)


@pytest.mark.parametrize("placement", [HyperConnections(2), ManifoldHyperConnections(3)])
def test_copies_come_apart_when_trained(placement):
    """A start in which all copies are read alike would keep them alike for ever."""
    model = plain(placement, stream=Copies(placement.copies)).build()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-2), []
    for _ in range(12):
        loss = model.cross_entropy(model.hidden(TOKENS[:, :-1]), TOKENS[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    copies = model.hidden_states(TOKENS)
    assert (copies[:, :, 0] - copies[:, :, 1]).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # raised and meant to be hidden inside torch
@pytest.mark.parametrize("name", ["value residual", "lambdas", "dynamic", "manifold, gated"])
def test_compiled_layers_give_the_same(name):
    model = randomised(FORMS[name])
    logits = model(TOKENS)
    model.compile_layers()
    torch.testing.assert_close(model(TOKENS), logits, **CLOSE)


def test_sinkhorn_is_doubly_stochastic_and_does_not_overflow():
    logits = 2 * torch.randn(50, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    m = sinkhorn(logits, 1000)
    for axis in (-1, -2):
        torch.testing.assert_close(m.sum(axis), torch.ones(50, 5, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    assert (m > 0).all()
    assert sinkhorn(1e4 * logits).isfinite().all()
    few = sinkhorn(logits[:, :4, :4] / 2, 20)
    torch.testing.assert_close(few.sum(-1), torch.ones(50, 4, dtype=torch.float64))
    assert (few.sum(-2) - 1).abs().max() < 1e-3


def test_value_residual_is_the_formula():
    model = randomised(FORMS["value residual"])
    values = []
    for layer in model.layers:
        layer.mixer.block.value.register_forward_hook(lambda module, given, result: values.append(result))
    seen = []
    for layer in model.layers:
        layer.mixer.block.value_mix.register_forward_hook(lambda module, given, result: seen.append(result))
    with torch.no_grad():
        model(TOKENS)
    first = seen[0]
    for layer, own, mixed in zip(model.layers[1:], values[1:], seen[1:], strict=True):
        a, b = layer.mixer.block.value_mix.lambdas
        torch.testing.assert_close(mixed, a * own.unflatten(-1, (2, 8)).transpose(1, 2) + b * first)


def test_reinjection_starts_as_told():
    spec = plain()
    model, reference = reinjected(spec, embedded=0.0).build(), spec.build()
    torch.testing.assert_close(model(TOKENS), reference(TOKENS))
    carried = reinjected(spec, carried=0.7, embedded=0.2).build()
    x = F.embedding(TOKENS, carried.embedding.weight)
    seen = []
    carried.layers[0].layer.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    carried(TOKENS)
    torch.testing.assert_close(seen[0], 0.9 * x)


def test_what_does_not_fit_is_told(tmp_path):
    with pytest.raises(ArchError, match="copies=3 of the stream, which has 1"):
        plain(HyperConnections(3))
    with pytest.raises(ArchError, match="copies=1 of the stream, which has 2"):
        plain(stream=Copies(2))
    with pytest.raises(ArchError, match="KeepValue"):
        with_values(ValueResidual()).build()(TOKENS)
    with pytest.raises(ArchError, match="add up to 1"):
        ValueResidual(0.5, 0.6, is_convex=True)
    with pytest.raises(ArchError, match="no Hugging Face family"):
        save_pretrained(FORMS["manifold"].build(), tmp_path)
