"""A model that trains with the compiled kernels is the model that trains without them."""

import copy

import pytest
import torch
from octad.kernels import plug_in_kernels
from octad.objective import IGNORE, NextToken
from octad_arch import llama_decoder
from octad_systems.kernels import has_native_kernels


@pytest.mark.skipif(not has_native_kernels(), reason="no C compiler")
def test_loss_and_gradients_are_the_same():
    spec = llama_decoder(vocab_size=259, d_model=48, num_layers=2, num_heads=4, num_kv_heads=2, d_ff=96)
    plain = spec.build(generator=torch.Generator().manual_seed(0))
    fast = copy.deepcopy(plain)
    assert plug_in_kernels(fast)
    rows = torch.randint(259, (3, 71), generator=torch.Generator().manual_seed(1))
    targets = rows[:, 1:].masked_fill(rows[:, 1:] % 5 == 0, IGNORE)
    losses = []
    for model in (plain, fast):
        losses.append(NextToken(model)({"tokens": rows[:, :-1], "targets": targets})["loss"])
        losses[-1].backward()
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=0)
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    assert fast.spec == plain.spec and copy.deepcopy(fast)(rows).shape == (3, 71, 259)
