"""What holds for every optimiser: torch's rules, exact resuming, clear errors."""

import copy
import io

import pytest
import torch
from octad_optim import SGD, AdamW, Combined, Lion, Muon, OptimError
from torch import nn

MAKERS = {
    "sgd": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "plain sgd": lambda p: SGD(p, lr=0.1),
    "adamw": lambda p: AdamW(p, lr=0.1),
    "textbook adamw": lambda p: AdamW(p, lr=0.1, fused=False),
    "lion": lambda p: Lion(p, lr=0.1, weight_decay=0.1),
    "muon": lambda p: Muon(p, lr=0.1),
    "combined": lambda p: Combined([Muon(p[:1], lr=0.1), AdamW(p[1:], lr=0.1)]),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def maker(request):
    return request.param


def model(dtype=torch.float32):
    return nn.ParameterList([torch.linspace(-1, 1, 12).reshape(3, 4).to(dtype), torch.ones(2, 5, dtype=dtype)])


def step(parameters, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
    optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_optimizer_resumes_bit_equal_after_saving_to_a_file(maker, dtype):
    straight, file = list(model(dtype)), io.BytesIO()
    optimizer = maker(straight)
    for seed in range(3):
        step(straight, optimizer, seed)
    torch.save({"model": [p.data for p in straight], "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = [nn.Parameter(p) for p in saved["model"]]
    other = maker(resumed)
    other.load_state_dict(saved["optimizer"])
    for seed in range(3, 6):
        step(straight, optimizer, seed)
        step(resumed, other, seed)
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_optimizer_survives_deepcopy(maker):
    first = model()
    optimizer = maker(list(first))
    step(first, optimizer, 0)
    second, twin = copy.deepcopy((first, optimizer))
    for seed in (1, 2):
        step(first, optimizer, seed)
        step(second, twin, seed)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_optimizer_leaves_parameters_without_gradient_and_returns_the_closures_loss(maker):
    parameters = list(model())
    before = [p.detach().clone() for p in parameters]
    optimizer = maker(parameters)
    assert optimizer.step() is None
    assert optimizer.step(lambda: 3.5) == 3.5
    assert all(torch.equal(a, b) for a, b in zip(parameters, before, strict=True))
    loss = optimizer.step(lambda: ((parameters[0] ** 2).sum().backward(), 1.0)[1])
    assert loss == 1.0
    assert not torch.equal(parameters[0], before[0])


def test_optimizer_lowers_a_quadratic(maker):
    parameters = list(model())
    optimizer = maker(parameters)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = sum((p**2).sum() for p in parameters)
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


def test_optimizer_refuses_sparse_gradients_before_changing_anything(maker):
    parameters = list(model())
    before = [p.detach().clone() for p in parameters]
    optimizer = maker(parameters)
    parameters[0].grad = torch.ones(3, 4).to_sparse()
    with pytest.raises(OptimError, match=r"sparse.*SparseAdam"):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(parameters, before, strict=True))


def test_optimizer_works_under_torchs_schedulers(maker):
    optimizer = maker(list(model()))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05] * len(optimizer.param_groups)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, lr=-1.0), "lr=-1"),
        (lambda p: SGD(p, momentum=1.0), "momentum=1"),
        (lambda p: SGD(p, nesterov=True), "nesterov=True with momentum=0"),
        (lambda p: AdamW(p, betas=(0.9, 1.0)), "beta2=1"),
        (lambda p: AdamW(p, eps=-1e-8), "eps=-1e-08"),
        (lambda p: AdamW(p, lr=float("nan")), "lr=nan"),
        (lambda p: AdamW([{"params": p, "weight_decay": -1}]), "weight_decay=-1"),
        (lambda p: Lion(p, betas=(-0.1, 0.9)), "beta1=-0.1"),
        (lambda p: Muon(p, scale="adam"), "scale='adam'"),
        (lambda p: Muon(p, compute_dtype="int8"), "compute_dtype='int8'"),
        (lambda p: Muon(p, coefficients=()), "coefficients"),
        (lambda p: Muon([*p, nn.Parameter(torch.ones(3))]), r"shape \(3,\).*AdamW"),
    ],
)
def test_optimizer_names_a_bad_setting(make, message):
    parameters = list(model())
    with pytest.raises(OptimError, match=message):
        make(parameters)


def test_optimizer_refuses_complex_parameters():
    parameter = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    parameter.grad = torch.ones_like(parameter)
    with pytest.raises(OptimError, match="view_as_real"):
        AdamW([parameter]).step()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
def test_sgd_equals_torch(train, nesterov, weight_decay):
    options = {"lr": 0.05, "momentum": 0.8, "nesterov": nesterov, "weight_decay": weight_decay}
    shapes = [(3,), (), (4, 5), (0,)]
    ours, theirs = train(shapes, [lambda p: SGD(p, **options), lambda p: torch.optim.SGD(p, **options)])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_lion_equals_its_formula_in_numpy(random):
    start, grads = random(3, 4), [random(3, 4) for _ in range(20)]
    parameter = nn.Parameter(start.clone())
    optimizer = Lion([parameter], lr=0.01, betas=(0.8, 0.95), weight_decay=0.3)
    theta, momentum = start.numpy().copy(), 0.0
    for grad in grads:
        parameter.grad = grad
        optimizer.step()
        g = grad.numpy()
        theta = theta - 0.01 * (torch.tensor(0.8 * momentum + 0.2 * g).sign().numpy() + 0.3 * theta)
        momentum = 0.95 * momentum + 0.05 * g
    torch.testing.assert_close(parameter.detach(), torch.from_numpy(theta), rtol=1e-12, atol=1e-12)
