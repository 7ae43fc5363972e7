"""Parameters as DTensor, on a mesh of one process: the same operators as on many."""

import copy

import pytest
import torch
from octad_optim import SGD, AdamW, Lion, clip_grad_norm, muon_and_adamw
from torch import nn

dist = pytest.importorskip("torch.distributed")
dtensor = pytest.importorskip("torch.distributed.tensor")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("torch was built without gloo")
    store = dist.FileStore(str(tmp_path_factory.mktemp("store") / "file"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield dist.init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "maker",
    [
        lambda m: SGD(m.parameters(), momentum=0.9),
        lambda m: AdamW(m.parameters(), lr=0.01),
        lambda m: Lion(m.parameters(), lr=0.01),
        lambda m: muon_and_adamw(m, lr=0.01),
    ],
    ids=["sgd", "adamw", "lion", "muon_and_adamw"],
)
def test_optimizer_and_clipping_take_sharded_parameters(mesh, maker):
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Linear(6, 16), nn.Linear(16, 6))
    sharded = copy.deepcopy(whole)
    for layer in sharded:
        for name, parameter in list(layer.named_parameters()):
            shard = dtensor.distribute_tensor(parameter.detach(), mesh, [dtensor.Shard(0)])
            setattr(layer, name, nn.Parameter(shard))
    optimizers = [maker(whole), maker(sharded)]
    for step in range(3):
        norms = []
        for model, optimizer in zip((whole, sharded), optimizers, strict=True):
            for i, parameter in enumerate(model.parameters()):
                generator = torch.Generator().manual_seed(10 * step + i)
                grad = torch.randn(parameter.shape, generator=generator)
                if model is sharded:
                    grad = dtensor.distribute_tensor(grad, mesh, [dtensor.Shard(0)])
                parameter.grad = grad
            norms.append(clip_grad_norm(model.parameters(), 0.5))
            optimizer.step()
        assert type(norms[1]) is torch.Tensor
        torch.testing.assert_close(*norms)
    for a, b in zip(whole.parameters(), sharded.parameters(), strict=True):
        torch.testing.assert_close(a.detach(), b.full_tensor().detach(), rtol=1e-5, atol=1e-6)
