"""Keys and values that later layers borrow, keys that are values, inputs of layers: counts, caches and refusals."""

from dataclasses import fields

import pytest
import torch
from octad_arch import (
    ArchError,
    Attention,
    BorrowingAttention,
    Decoder,
    DynamicCache,
    InputLayer,
    Layer,
    LayerInputs,
    LendingAttention,
    NormedValue,
    RMSNorm,
    SwiGLU,
)
from torch.utils.flop_counter import FlopCounterMode

LENDER = LendingAttention(4, 2, 6, qk_norm=RMSNorm(), bias=True, value_mix=NormedValue(RMSNorm(gain=False)))
BORROWER = BorrowingAttention(4, 2, 6, qk_norm=RMSNorm(), bias=True, lender=0)
TOKENS = torch.randint(0, 31, (2, 16), generator=torch.Generator().manual_seed(1))
POSITIONS = torch.arange(16).repeat(2, 1)


def decoder(*mixers, inputs=True):
    layers = tuple(InputLayer(Layer(mixer, SwiGLU(20)), 5 if inputs else None) for mixer in mixers)
    return Decoder(31, 24, layers, layer_inputs=LayerInputs(31, 5) if inputs else None)


SPECS = {
    "borrowed": decoder(LENDER, Attention(4, 4, 6), BORROWER, BORROWER),
    "keys as values": decoder(Attention(4, 2, 6, key_is_value=True, bias=True), inputs=False),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_costs_are_what_torch_counts_and_the_cache_keeps(spec):
    model, cache = spec.build(), DynamicCache()
    with FlopCounterMode(display=False) as counter:
        model(TOKENS)
    assert spec.cost(16).forward_flops * TOKENS.numel() == counter.get_total_flops()
    assert spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    model(TOKENS, POSITIONS, cache)
    kept = sum(values.numel() for values, _ in cache._lists.values())
    assert kept == spec.cost().cache_elements * TOKENS.numel()


def test_borrowed_keys_equal_those_of_a_layer_with_the_lenders_weights():
    """Plain attention with the lender's maps of keys and values, read where the lender read."""
    spec = decoder(LENDER, BORROWER)
    model = spec.build(dtype=torch.float64)
    lender, borrower = (layer.layer.mixer for layer in model.layers)
    plain = Attention(**{each.name: getattr(LENDER, each.name) for each in fields(Attention)}).build(24).double()
    read = {}
    lender.block.register_forward_pre_hook(lambda module, inputs: read.update(lender=inputs[0], context=inputs[1]))
    borrower.block.register_forward_hook(lambda module, inputs, output: read.update(x=inputs[0], output=output))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
        model(TOKENS)
        state = lender.block.state_dict() | borrower.block.state_dict()
        plain.load_state_dict(state)
        context = read["context"]
        k, v = plain._keys_and_values(read["lender"], context)
        plain._keys_and_values = lambda x, context: (k, v)
        torch.testing.assert_close(plain(read["x"], context), read["output"], rtol=1e-10, atol=1e-10)


def test_borrowing_and_inputs_refuse_what_is_not_there():
    with pytest.raises(ArchError, match="lender=1; name a layer before it"):
        decoder(LENDER, BorrowingAttention(4, 2, 6, lender=1)).build()
    with pytest.raises(ArchError, match="lender=0, which is no LendingAttention"):
        decoder(Attention(4, 2, 6), BORROWER).build()(TOKENS)
    with pytest.raises(ArchError, match="give them to the lender"):
        BorrowingAttention(4, 2, 6, key_is_value=True)
    with pytest.raises(ArchError, match="inputs that no one gives"):
        Decoder(31, 24, decoder(LENDER).layers).build()(TOKENS)
