import io

import pytest
import torch
from octad_optim import ExponentialMovingAverage, OptimError
from torch import nn


def drift(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


@pytest.mark.parametrize("warmup", [False, True])
def test_average_equals_a_float64_loop(warmup):
    model = nn.Linear(3, 2).double()
    average = ExponentialMovingAverage(model, decay=0.3, warmup=warmup)
    expected = model.weight.detach().clone()
    for t in range(12):
        drift(model, t)
        average.update(model)
        d = min(0.3, (1 + t) / (10 + t)) if warmup else 0.3
        expected = d * expected + (1 - d) * model.weight.detach()
    torch.testing.assert_close(average.averages["weight"], expected, rtol=1e-12, atol=1e-12)


def test_average_equals_torchs_own():
    model = nn.Linear(3, 2)
    ours = ExponentialMovingAverage(model, decay=0.9, warmup=False)
    theirs = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=False
    )
    theirs.update_parameters(model)  # its first update only copies
    for t in range(10):
        drift(model, t)
        ours.update(model)
        theirs.update_parameters(model)
    torch.testing.assert_close(ours.averages["weight"], theirs.module.weight.detach())


def test_average_of_bfloat16_does_not_round_away():
    model = nn.Linear(4, 4).bfloat16()
    average = ExponentialMovingAverage(model, decay=0.999, warmup=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average.averages["weight"].fill_(0.5)
    for _ in range(1000):
        average.update(model)
    # 1 - 0.5 · 0.999^1000; in bfloat16 it would have stayed 0.5
    torch.testing.assert_close(average.averages["weight"], torch.full((4, 4), 1 - 0.5 * 0.999**1000))


def test_swapped_gives_the_average_and_gives_the_weights_back():
    model = nn.Linear(3, 2)
    average = ExponentialMovingAverage(model, decay=0.5)
    drift(model, 0)
    average.update(model)
    own, averaged = model.weight.detach().clone(), average.averages["weight"].clone()
    with pytest.raises(RuntimeError, match="inside"), average.swapped(model) as inside:
        assert inside is model
        assert torch.equal(model.weight, averaged)
        raise RuntimeError("inside")
    assert torch.equal(model.weight, own)
    assert torch.equal(average.averages["weight"], averaged)
    assert model.weight.requires_grad


def test_average_resumes_bit_equal():
    model, file = nn.Linear(3, 2), io.BytesIO()
    straight = ExponentialMovingAverage(model, decay=0.99)
    drift(model, 0)
    straight.update(model)
    torch.save(straight.state_dict(), file)
    file.seek(0)
    resumed = ExponentialMovingAverage(model, decay=0.1, warmup=False)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for t in (1, 2):
        drift(model, t)
        straight.update(model)
        resumed.update(model)
    assert all(torch.equal(straight.averages[n], resumed.averages[n]) for n in straight.averages)


def test_average_counts_a_tied_weight_once_and_refuses_another_model():
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    model[1].weight = model[0].weight
    average = ExponentialMovingAverage(model)
    assert list(average.averages) == ["0.weight"]
    with pytest.raises(OptimError, match="differ"):
        average.update(nn.Linear(3, 4))
    with pytest.raises(OptimError, match="differ"):
        average.load_state_dict(ExponentialMovingAverage(nn.Linear(3, 4)).state_dict())
    with pytest.raises(OptimError, match="decay=1"):
        ExponentialMovingAverage(model, decay=1.0)
    ExponentialMovingAverage(nn.Identity()).update(nn.Identity())
