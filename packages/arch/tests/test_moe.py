"""Mixture of experts: against a dense loop in float64, Hugging Face's balancing loss, and what training must do."""

from dataclasses import replace

import pytest
import torch
from octad_arch import (
    Attention,
    Decoder,
    Layer,
    MoE,
    SigmoidRouter,
    SoftmaxRouter,
    SwiGLU,
    linear_cross_entropy,
    load_balancing_loss,
    update_router_biases,
)
from octad_arch.errors import ArchError
from torch.nn.functional import silu
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

ROUTERS = {
    "softmax": SoftmaxRouter(3),
    "softmax, weights as they are": SoftmaxRouter(2, renormalise=False),
    "sigmoid": SigmoidRouter(3, scale=1.7),
    "groups": SigmoidRouter(2, renormalise=False, groups=4, kept_groups=2),
}


def built(router, dtype=torch.float64, **options):
    module = MoE(8, 6, router, **options).build(10).to(dtype)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def dense_loop(module, x):
    """Every expert on every token, then the weights of a choice that is made one token at a time."""
    router, out = module.spec.router, torch.zeros_like(x)
    for token, row in enumerate(x):
        logits = module.router.weight @ row
        if isinstance(router, SoftmaxRouter):
            scores = ranked = logits.softmax(0)
        else:
            scores = logits.sigmoid()
            ranked = scores + module.router_bias
            size = len(ranked) // router.groups
            groups = [ranked[g * size : (g + 1) * size].sort(descending=True).values for g in range(router.groups)]
            goodness = sorted(range(router.groups), key=lambda g: -float(groups[g][:2].sum()))
            for g in goodness[router.kept_groups :]:
                ranked[g * size : (g + 1) * size] = -torch.inf
        chosen = ranked.argsort(descending=True)[: router.top_k]
        total = scores[chosen].sum() if router.renormalise else 1.0
        for expert in chosen:
            inner = silu(module.gate_EFD[expert] @ row) * (module.up_EFD[expert] @ row)
            weight = scores[expert] / total * getattr(router, "scale", 1.0)
            out[token] += weight * (module.down_EDF[expert] @ inner)
    if module.shared is not None:
        shared = module.shared(x)
        out += shared if module.shared_gate is None else torch.sigmoid(module.shared_gate(x)) * shared
    return out


@pytest.mark.parametrize("options", [{}, {"shared": SwiGLU(7)}, {"shared": SwiGLU(7), "shared_gate": True}])
@pytest.mark.parametrize("name", ROUTERS)
def test_moe_equals_a_dense_loop(name, options):
    module, x = built(ROUTERS[name], **options), torch.randn(23, 10, dtype=torch.float64)
    with torch.no_grad():
        # The router computes in float32 at least, here in float64, so that no choice differs by rounding.
        torch.testing.assert_close(module(x[None])[0], dense_loop(module, x), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(module(x[5:6]), module(x)[5:6], rtol=1e-12, atol=1e-12)  # whatever else is routed
    assert module(x[:0]).shape == (0, 10)


def test_gradients_of_the_experts_equal_those_of_the_loop():
    module, x = built(SoftmaxRouter(2)), torch.randn(9, 10, dtype=torch.float64)
    grads = []
    for run in (module, lambda rows: dense_loop(module, rows)):
        module.zero_grad()
        run(x).square().sum().backward()
        grads.append({name: parameter.grad.clone() for name, parameter in module.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], rtol=1e-9, atol=1e-9)


def model_of(router, layers=2):
    layer = Layer(Attention(2, 1, 6), MoE(8, 10, router, shared=SwiGLU(4)))
    return Decoder(31, 12, (layer,) * layers)


def test_load_balancing_loss_equals_hugging_faces():
    model = model_of(SoftmaxRouter(3)).build().train()
    logits = []
    for layer in model.layers:
        layer.feed_forward.block.router.register_forward_hook(lambda module, inputs, output: logits.append(output))
    model(torch.randint(31, (3, 11)))
    ours = load_balancing_loss(model)
    torch.testing.assert_close(ours, load_balancing_loss_func(tuple(logits), 8, 3))
    ours.backward()
    assert model.layers[0].feed_forward.block.router.weight.grad.abs().sum() > 0


def test_biases_balance_a_skewed_router_while_it_trains():
    """Without updates most tokens go to few experts; with them the largest share comes near the mean."""
    shares = {}
    for rate in (0.0, 0.02):
        torch.manual_seed(0)
        model = model_of(SigmoidRouter(2), layers=1).build().train()
        block = model.layers[0].feed_forward.block
        with torch.no_grad():
            block.router.weight.mul_(10)
            block.router_bias[:2] = 0.8  # two experts would get nearly all
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(80):
            tokens = torch.randint(31, (8, 17))
            loss = linear_cross_entropy(model.hidden(tokens[:, :-1]), model.output_weight, tokens[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if rate:
                update_router_biases(model, rate)
        shares[rate] = float(block.share.max() / block.share.mean())
    assert shares[0.0] > 3.5
    assert shares[0.02] < 1.5


def test_cost_counts_all_experts_and_those_that_are_used():
    spec = model_of(SigmoidRouter(3))
    model, cost = spec.build(), spec.cost(9)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert cost.parameters - cost.active_parameters == 2 * (8 - 3) * 3 * 12 * 10
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randint(31, (2, 9)))
    assert counter.get_total_flops() == 2 * 9 * cost.forward_flops


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MoE(4, 6, SoftmaxRouter(5)), "top_k=5 of num_experts=4"),
        (lambda: MoE(6, 6, SigmoidRouter(2, groups=4, kept_groups=2)), "groups=4 does not divide num_experts=6"),
        (lambda: SigmoidRouter(2, groups=2, kept_groups=3), "kept_groups=3 of groups=2"),
        (lambda: MoE(4, 6, SoftmaxRouter(2), shared_gate=True), "shared_gate=True without a shared block"),
        (lambda: load_balancing_loss(model_of(SoftmaxRouter(2)).build()), "no router has chosen yet"),
        (lambda: update_router_biases(replace(model_of(SigmoidRouter(2)), layers=()).build()), "needs MoE blocks"),
    ],
)
def test_moe_refuses(make, message):
    with pytest.raises(ArchError, match=message):
        make()
