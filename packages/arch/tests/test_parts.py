"""Parts of a model that a function of one's own replaces, and torch's FlexAttention as one."""

import copy

import pytest
import torch
from octad_arch import (
    MLP,
    PARTS,
    ALiBi,
    ArchError,
    Attention,
    Decoder,
    DifferentialAttention,
    GatedDeltaNet,
    KimiDeltaAttention,
    LatentAttention,
    Layer,
    LightningAttention,
    Mamba2,
    SwiGLU,
    delta_rule_recurrent,
    flex_self_attention,
    linear_attention_recurrent,
    parts_of,
    replace_parts,
)
from octad_arch.mixing import self_attention

TOKENS = torch.randint(31, (2, 9), generator=torch.Generator().manual_seed(0))
MIXERS = (
    Attention(4, 2, 6),
    LatentAttention(3, 9, 10, 6, 7),
    DifferentialAttention(4, 2, 6),
    GatedDeltaNet(4, 2, 6, 5),
    KimiDeltaAttention(3, 6),
    Mamba2(4, 6, 5, groups=2),
    LightningAttention(4, 6, 0.5),
)


def built():
    layers = tuple(Layer(mixer, SwiGLU(20) if index % 2 else MLP(20)) for index, mixer in enumerate(MIXERS))
    return Decoder(31, 24, layers).build(dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def everything(model):
    hidden = model.hidden(TOKENS[:, :-1])
    loss = model.cross_entropy(hidden, TOKENS[:, 1:])
    gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True, allow_unused=True)
    return [loss, model.token_log_probs(hidden, TOKENS[:, 1:]), *gradients]


def test_every_part_is_called_and_replaced_in_one_model_alone():
    model, calls = built(), dict.fromkeys(PARTS, 0)
    untouched = copy.deepcopy(model)
    assert parts_of(model) == {
        "rms_norm": 17,  # two a layer, one at the end, those of the latents and of lightning
        "self_attention": 3,
        "delta_rule": 2,
        "linear_attention": 2,
        "swiglu": 3,
        "head_loss": 1,
        "head_log_probs": 1,
    }

    def counting(name):
        def run(*arguments, **options):
            calls[name] += 1
            return PARTS[name](*arguments, **options)

        return run

    expected = everything(model)
    replace_parts(model, **{name: counting(name) for name in PARTS})
    torch.testing.assert_close(everything(model), expected, rtol=0, atol=0)
    assert calls == parts_of(model)
    everything(untouched)
    assert calls == parts_of(model)  # the copy calls its own
    replace_parts(model, **PARTS)
    everything(model)
    assert calls == parts_of(model)


def test_other_algorithms_of_a_part_give_the_same_model():
    def looped(q, k, v, **options):
        rows = [self_attention(*(x[b : b + 1] for x in (q, k, v)), **options) for b in range(len(q))]
        return torch.cat(rows)

    def by_shared_keys(q, k, v, g, state=None):
        groups = v.shape[1] // k.shape[1]
        return linear_attention_recurrent(q.repeat_interleave(groups, 1), k.repeat_interleave(groups, 1), v, g, state)

    model = built()
    expected = everything(model)
    replace_parts(model, self_attention=looped, delta_rule=delta_rule_recurrent, linear_attention=by_shared_keys)
    torch.testing.assert_close(everything(model), expected, rtol=1e-9, atol=1e-9)


def test_unknown_and_absent_parts_are_refused_and_nothing_is_replaced():
    model = Decoder(31, 24, (Layer(Attention(4, 2, 6), MLP(20)),)).build()
    before = parts_of(model)
    with pytest.raises(ArchError, match=r"delta_rule, softmax: .* its parts are .*self_attention"):
        replace_parts(model, softmax=torch.softmax, delta_rule=delta_rule_recurrent, rms_norm=None)
    assert parts_of(model) == before
    model(TOKENS)


OPTIONS = {
    "plain": {},
    "not causal": {"is_causal": False},
    "window": {"window": 4},
    "window both ways": {"window": 3, "is_causal": False},
    "soft cap": {"softcap": 2.0, "scale": 0.7},
    "sinks": {"sinks": torch.tensor([0.3, -1.0, 2.0, 0.0])},
    "all": {"window": 5, "softcap": 3.0, "sinks": torch.tensor([0.3, -1.0, 2.0, 0.0]), "scale": 0.4},
}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("has_padding", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@torch.no_grad()
def test_flex_self_attention_equals_self_attention(options, has_padding, has_bias):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, 131, 8, generator=generator)  # more than a tile
    k, v = (torch.randn(2, 2, 131, width, generator=generator) for width in (8, 6))
    if has_padding:
        keep = torch.ones(2, 131, dtype=torch.bool)
        keep[0, 90:] = keep[1, 10:20] = False
        options = options | {"keep": keep}
    if has_bias:
        options = options | {"bias": ALiBi().build(4)}
    torch.testing.assert_close(
        flex_self_attention(q, k, v, **options), self_attention(q, k, v, **options), rtol=1e-5, atol=1e-5
    )


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_flex_self_attention_on_a_gpu_has_the_gradients_of_self_attention(options):
    options = {name: x.cuda() if isinstance(x, torch.Tensor) else x for name, x in options.items()}
    inputs = [torch.randn(2, heads, 300, 64, device="cuda", requires_grad=True) for heads in (4, 2, 2)]
    results = []
    for attend in (flex_self_attention, self_attention):
        mixed = attend(*inputs, **options)
        results.append([mixed, *torch.autograd.grad(mixed.square().sum(), inputs)])
    torch.testing.assert_close(*results, rtol=1e-2, atol=1e-2)  # tensor cores round to TF32
