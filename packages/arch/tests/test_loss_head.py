"""The chunked loss head against `F.cross_entropy` and torch's numerical gradients."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_arch import ArchError, linear_cross_entropy, llama_decoder, token_log_probs
from octad_arch.logit_passes import loss_and_gradient, replace_by_gradient


def problem(rows, d_model=5, vocab_size=11, ignored=(), dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, d_model, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(vocab_size, d_model, generator=generator).to(dtype).requires_grad_()
    targets = torch.randint(vocab_size, (rows,), generator=generator)
    targets[list(ignored)] = -100
    return hidden, weight, targets


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.sets(st.integers(0, 8)), st.integers(1, 10), st.sampled_from(["mean", "sum", "none"]))
def test_linear_cross_entropy_equals_torch_with_gradients(rows, ignored, chunk, reduction):
    ignored = {row for row in ignored if row < rows}
    if len(ignored) == rows and reduction == "mean":
        ignored.pop()
    hidden, weight, targets = problem(rows, ignored=ignored)
    ours = linear_cross_entropy(hidden, weight, targets, reduction=reduction, chunk=chunk)
    theirs = F.cross_entropy(hidden @ weight.T, targets, reduction=reduction)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    upstream = torch.randn(theirs.shape, dtype=theirs.dtype, generator=torch.Generator().manual_seed(1))
    for a, b in zip(
        torch.autograd.grad(ours, (hidden, weight), upstream),
        torch.autograd.grad(theirs, (hidden, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 9),
    st.integers(1, 10),
    st.sampled_from(["mean", "sum", "none"]),
    st.sampled_from([None, 0.5, 2.0, 30.0]),
    st.booleans(),
)
def test_linear_cross_entropy_with_bias_and_soft_cap_equals_torch_with_gradients(rows, chunk, reduction, cap, has_bias):
    hidden, weight, targets = problem(rows, ignored=(0,) if rows > 1 else ())
    bias = torch.randn(11, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    wanted = (hidden, weight, bias) if has_bias else (hidden, weight)
    logits = F.linear(hidden, weight, bias if has_bias else None)
    theirs = F.cross_entropy(logits if cap is None else cap * (logits / cap).tanh(), targets, reduction=reduction)
    ours = linear_cross_entropy(
        hidden, weight, targets, reduction=reduction, chunk=chunk, bias=bias if has_bias else None, softcap=cap
    )
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    upstream = torch.randn(theirs.shape, dtype=theirs.dtype, generator=torch.Generator().manual_seed(1))
    for a, b in zip(
        torch.autograd.grad(ours, wanted, upstream), torch.autograd.grad(theirs, wanted, upstream), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_token_log_probs_with_bias_and_soft_cap_pass_gradcheck(temperature):
    hidden, weight, targets = problem(6, ignored=(1,))
    bias = torch.randn(11, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    def values(hidden, weight, bias):
        return token_log_probs(hidden, weight, targets, temperature, entropy=True, chunk=2, bias=bias, softcap=1.5)

    assert torch.autograd.gradcheck(values, (hidden, weight, bias))
    capped = 1.5 * (F.linear(hidden, weight, bias) / 1.5).tanh() / temperature
    torch.testing.assert_close(
        values(hidden, weight, bias)[0][2], torch.distributions.Categorical(logits=capped[2]).log_prob(targets[2])
    )


@pytest.mark.parametrize(("changed", "message"), [({"bias": torch.zeros(4)}, "bias"), ({"softcap": 0.0}, "softcap")])
def test_linear_cross_entropy_refuses_a_wrong_bias_or_cap(changed, message):
    with pytest.raises(ArchError, match=message):
        linear_cross_entropy(*problem(3), **changed)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_linear_cross_entropy_passes_gradcheck(reduction):
    hidden, weight, targets = problem(6, ignored=(1, 4))

    def loss(hidden, weight):
        return linear_cross_entropy(hidden, weight, targets, reduction=reduction, chunk=2)

    assert torch.autograd.gradcheck(loss, (hidden, weight))


@pytest.mark.parametrize("rows", [0, 4])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_linear_cross_entropy_over_no_targets_is_zero(rows, reduction):
    hidden, weight, targets = problem(rows, ignored=range(rows))
    loss = linear_cross_entropy(hidden, weight, targets, reduction=reduction)
    loss.backward()
    assert loss == 0
    assert torch.equal(hidden.grad, torch.zeros_like(hidden))
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_linear_cross_entropy_keeps_leading_axes_and_other_ignore_indices():
    hidden, weight, targets = problem(12)
    targets[3] = 7
    cube, square = hidden.view(3, 4, 5), targets.view(3, 4)
    ours = linear_cross_entropy(cube, weight, square, ignore_index=7, reduction="none")
    theirs = F.cross_entropy(hidden @ weight.T, targets, ignore_index=7, reduction="none")
    torch.testing.assert_close(ours, theirs.view(3, 4))
    mean = linear_cross_entropy(cube.transpose(0, 1), weight, square.T, ignore_index=7)
    torch.testing.assert_close(mean, F.cross_entropy(hidden @ weight.T, targets, ignore_index=7))


def test_linear_cross_entropy_survives_huge_logits():
    hidden, weight, targets = problem(6)
    ours = linear_cross_entropy(1e4 * hidden, weight, targets)
    torch.testing.assert_close(ours, F.cross_entropy(1e4 * hidden @ weight.T, targets), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)]
)
def test_linear_cross_entropy_equals_torch_over_several_pieces_of_a_chunk(dtype, tolerance):
    """A chunk of 700 rows of this vocabulary is passed over 20 rows at a time, the last time 0 < rows < 20."""
    hidden, weight, targets = problem(709, vocab_size=50_021, dtype=dtype, ignored=(0, 300, 708))
    with torch.no_grad():
        hidden *= 0.3
    ours = linear_cross_entropy(hidden, weight, targets, chunk=690)
    theirs = F.cross_entropy(hidden.double() @ weight.double().T, targets)
    torch.testing.assert_close(ours.double(), theirs, atol=tolerance, rtol=tolerance)
    for a, b in zip(
        torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(theirs, (hidden, weight)), strict=True
    ):
        error = (a.double() - b.double()).norm() / b.double().norm()
        assert error < tolerance


def test_linear_cross_entropy_adds_up_bfloat16_in_float32():
    hidden, weight, targets = problem(512, 16, 50, dtype=torch.bfloat16)
    loss = linear_cross_entropy(hidden, weight, targets, reduction="sum", chunk=1)
    assert loss.dtype == torch.float32
    loss.backward()
    wide_hidden, wide_weight = hidden.detach().float().requires_grad_(), weight.detach().float().requires_grad_()
    F.cross_entropy(wide_hidden @ wide_weight.T, targets, reduction="sum").backward()
    # Each logit is rounded to 8 bits; added up in bfloat16, 512 chunks would be off by tens of per cent.
    error = (weight.grad.float() - wide_weight.grad).norm() / wide_weight.grad.norm()
    assert error < 0.01


def test_linear_cross_entropy_backward_can_run_twice():
    hidden, weight, targets = problem(6)
    loss = linear_cross_entropy(hidden, weight, targets)
    loss.backward(retain_graph=True)
    once = weight.grad.clone()
    loss.backward()
    torch.testing.assert_close(weight.grad, 2 * once)


@pytest.mark.parametrize("frozen", ["hidden", "weight", "both"])
def test_linear_cross_entropy_respects_frozen_inputs(frozen):
    hidden, weight, targets = problem(6)
    hidden.requires_grad_(frozen == "weight")
    weight.requires_grad_(frozen == "hidden")
    loss = linear_cross_entropy(hidden, weight, targets)
    assert loss.requires_grad == (frozen != "both")
    if loss.requires_grad:
        loss.backward()
        reference = torch.autograd.grad(
            F.cross_entropy(hidden @ weight.T, targets), weight if frozen == "hidden" else hidden
        )
        torch.testing.assert_close((weight if frozen == "hidden" else hidden).grad, reference[0])


@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
def test_token_log_probs_and_entropy_equal_torch_with_gradients(temperature):
    hidden, weight, targets = problem(9, ignored=(2,))
    log_probs, entropy = token_log_probs(hidden, weight, targets, temperature, entropy=True, chunk=4)
    log_p = (hidden @ weight.T / temperature).log_softmax(-1)
    kept = (targets != -100).double()
    expected = log_p.gather(1, targets.clamp(min=0)[:, None]).squeeze(1) * kept
    expected_entropy = -(log_p.exp() * log_p).sum(-1) * kept
    torch.testing.assert_close(log_probs, expected)
    torch.testing.assert_close(entropy, expected_entropy)
    factors = torch.linspace(-1, 2, 9, dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad((factors * log_probs + factors**2 * entropy).sum(), (hidden, weight)),
        torch.autograd.grad((factors * expected + factors**2 * expected_entropy).sum(), (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


def test_token_log_probs_passes_gradcheck():
    hidden, weight, targets = problem(4)
    assert torch.autograd.gradcheck(
        lambda h, w: token_log_probs(h, w, targets, 0.7, entropy=True, chunk=3), (hidden, weight)
    )


def test_token_log_probs_stays_finite_where_a_probability_is_zero():
    hidden = torch.tensor([[1.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [-float("inf")], [-1e30]])
    log_probs, entropy = token_log_probs(hidden, weight, torch.tensor([0]), entropy=True)
    assert log_probs.item() == 0
    assert entropy.item() == 0


@pytest.mark.parametrize("function", [linear_cross_entropy, token_log_probs])
def test_loss_head_refuses_what_does_not_fit(function):
    hidden, weight, targets = problem(6)
    for bad in (11, -1):
        with pytest.raises(ArchError, match=f"target {bad} is outside the vocabulary of 11"):
            function(hidden, weight, torch.full_like(targets, bad))
    with pytest.raises(ArchError, match="do not fit"):
        function(hidden, weight[:, :3], targets)
    with pytest.raises(ArchError, match="targets has shape"):
        function(hidden, weight, targets[:5])


def test_loss_head_refuses_unknown_settings():
    hidden, weight, targets = problem(6)
    with pytest.raises(ArchError, match="reduction='median'"):
        linear_cross_entropy(hidden, weight, targets, reduction="median")
    with pytest.raises(ArchError, match="temperature=0"):
        token_log_probs(hidden, weight, targets, 0)
    with pytest.raises(ArchError, match="chunk=0"):
        linear_cross_entropy(hidden, weight, targets, chunk=0)
    with pytest.raises(ArchError, match="chunk=-1"):
        token_log_probs(hidden, weight, targets, chunk=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_loss_and_gradient_equal_autograd(dtype):
    logits = (3 * torch.randn(7, 13, dtype=torch.float64)).to(dtype)
    targets = torch.randint(13, (7,))
    leaf = logits.double().requires_grad_()
    expected = F.cross_entropy(leaf, targets, reduction="sum")
    (0.3 * expected).backward()
    loss, gradient = loss_and_gradient(logits, targets, 0.3)
    assert gradient.dtype == dtype
    rounding = 4e-3 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.double(), leaf.grad, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_replace_by_gradient_equals_loss_and_gradient(dtype, cap):
    logits, targets = (3 * torch.randn(7, 13, dtype=torch.float64)).to(dtype), torch.randint(13, (7,))
    loss, gradient = loss_and_gradient(logits, targets, 0.3, cap)
    rounding = 1e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(replace_by_gradient(logits, targets, 0.3, cap), loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits, gradient, rtol=rounding, atol=rounding)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_cross_entropy_on_a_gpu_equals_the_cpu(dtype):
    hidden, weight = torch.randn(37, 16), torch.randn(101, 16)
    targets = torch.randint(101, (37,))
    results = []
    for device, kind in (("cpu", torch.float64), ("cuda", dtype)):
        h, w = (x.to(device, kind).requires_grad_() for x in (hidden.to(dtype), weight.to(dtype)))
        loss = linear_cross_entropy(h, w, targets.to(device), chunk=16)
        loss.backward()
        results.append([x.double().cpu() for x in (loss.detach(), h.grad, w.grad)])
    rounding = 2e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(results[1], results[0], rtol=rounding, atol=rounding)


def test_the_heads_multiply_in_autocasts_type():
    hidden, weight, targets = problem(30, vocab_size=50, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        losses = [
            linear_cross_entropy(hidden, weight, targets, chunk=7),
            -token_log_probs(hidden, weight, targets, chunk=7).mean(),
            F.cross_entropy(hidden @ weight.T, targets),
        ]
    gradients = [torch.autograd.grad(loss, (hidden, weight)) for loss in losses]
    exact = F.cross_entropy(hidden @ weight.T, targets)
    assert all(loss.dtype == torch.float32 and loss != exact for loss in losses)
    assert all(gradient.dtype == torch.float32 for pair in gradients for gradient in pair)
    for loss, pair in zip(losses[:2], gradients, strict=False):
        torch.testing.assert_close(loss, losses[2], rtol=1e-2, atol=0)
        torch.testing.assert_close(pair, gradients[2], rtol=5e-2, atol=1e-3)


@pytest.mark.parametrize(
    "head", [{}, {"logit_softcap": 3.0}, {"head_bias": True}, {"logit_softcap": 2.0, "head_bias": True}]
)
def test_a_models_losses_are_those_of_its_logits(head):
    torch.manual_seed(0)
    model = replace(llama_decoder(vocab_size=40, d_model=16, num_layers=1, num_heads=2), **head).build().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    tokens, targets = torch.randint(40, (3, 7)), torch.randint(40, (3, 7))
    targets[1, 2:5] = -100
    full = F.log_softmax(model(tokens), dim=-1)
    wanted = torch.where(targets < 0, 0.0, full.gather(-1, targets.clamp(min=0)[..., None])[..., 0])
    ours = model.token_log_probs(model.hidden(tokens), targets)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)
    summed = model.cross_entropy(model.hidden(tokens), targets, reduction="sum")
    torch.testing.assert_close(summed, -wanted.sum(), rtol=1e-10, atol=1e-10)
    weight = torch.randn_like(ours)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad((ours * weight).sum(), parameters, allow_unused=True)
    expected = torch.autograd.grad((wanted * weight).sum(), parameters, allow_unused=True)
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
