"""The Hugging Face wrapper in training: its loss, gradient checkpointing, other vocabularies."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    Copies,
    Decoder,
    GatedDeltaNet,
    HyperConnections,
    KeepValue,
    Layer,
    LayerNorm,
    LearnedPositions,
    MoE,
    ParallelLayer,
    Reinjected,
    SoftmaxRouter,
    ValueResidual,
    linear_cross_entropy,
    ngpt_decoder,
    qwen3_decoder,
)
from octad_arch.transformers_model import OctadForCausalLM

VOCAB = 31
QWEN = qwen3_decoder(VOCAB, 24, 6, 3, 1, 8, d_ff=20)
BIASED = Decoder(
    VOCAB,
    20,
    (Layer(Attention(2, 1, 8, None), MLP(12), LayerNorm()), ParallelLayer(Attention(4, 2, 6, sinks=True), MLP(9))),
    LayerNorm(),
    position=LearnedPositions(16),
    tied_embeddings=False,
    head_bias=True,
    logit_scale=0.7,
)
CAPPED = replace(BIASED, logit_softcap=3.0)
EXPERTS = replace(QWEN, layers=(replace(QWEN.layers[0], feed_forward=MoE(4, 6, SoftmaxRouter(2))),) * 2)
BLOCK = QWEN.layers[0]
VALUES = [replace(BLOCK, mixer=replace(BLOCK.mixer, value_mix=mix)) for mix in (KeepValue(), ValueResidual())]
SHARED = replace(QWEN, layers=tuple(VALUES))
AGAIN = replace(QWEN, layers=(Reinjected(BLOCK),) * 3)
COPIES = replace(QWEN, layers=(replace(BLOCK, placement=HyperConnections(2)),) * 2, stream=Copies(2))
DELTA = replace(QWEN, layers=(Layer(GatedDeltaNet(2, 2, 6, 5), MLP(8)), BLOCK))
SPHERE = ngpt_decoder(VOCAB, 24, 2, 3, 20)
CASES = {"plain": QWEN, "biased": BIASED, "capped": CAPPED, "experts": EXPERTS, "shared values": SHARED}
CASES |= {"embedded again": AGAIN, "copies": COPIES, "delta": DELTA, "sphere": SPHERE}
SPECS = pytest.mark.parametrize("spec", CASES.values(), ids=CASES)
RESIZED = pytest.mark.parametrize("spec", [CASES[name] for name in CASES if name != "sphere"])


def randomised(spec):
    decoder, generator = spec.build(), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return decoder.eval()


def wrapped(spec):
    return OctadForCausalLM.from_decoder(randomised(spec))


def tokens_of(*shape, seed=1):
    return torch.randint(3, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def padded():
    """Rows of 8, 5 and 7 tokens in one batch, padded on the left, and the mask."""
    tokens, mask = tokens_of(3, 8), torch.ones(3, 8, dtype=torch.long)
    mask[1, :3] = mask[2, :1] = 0
    return tokens * mask, mask


@SPECS
@pytest.mark.parametrize("count", [None, 17])
def test_loss_and_gradients_are_those_of_the_full_logits(spec, count):
    model = wrapped(spec).double()
    batch, mask = padded()
    labels = batch.masked_fill(mask == 0, -100)
    labels[0, :3] = -100
    reference = model(batch, attention_mask=mask).logits
    expected = F.cross_entropy(reference[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    expected = expected / ((labels[:, 1:] != -100).sum() if count is None else count)
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    model.train()
    output = model(batch, attention_mask=mask, labels=labels, num_items_in_batch=count)
    assert output.logits is None  # never made
    torch.testing.assert_close(output.loss, expected, rtol=1e-6, atol=0)
    ours = torch.autograd.grad(output.loss, list(model.parameters()))
    torch.testing.assert_close(ours, gradients, rtol=1e-5, atol=1e-7)
    shifted = F.pad(labels[:, 1:], (0, 1), value=-100)
    again = model(batch, attention_mask=mask, shift_labels=shifted, num_items_in_batch=count, skip_logits=False)
    torch.testing.assert_close(again.loss, expected, rtol=1e-6, atol=0)
    assert again.logits.shape == reference.shape


def test_loss_is_octads_own():
    decoder, tokens = randomised(QWEN), tokens_of(3, 9)
    expected = linear_cross_entropy(decoder.hidden(tokens[:, :-1]), decoder.output_weight, tokens[:, 1:])
    model = OctadForCausalLM.from_decoder(decoder)
    output = model(tokens, labels=tokens)
    torch.testing.assert_close(output.loss, expected)
    assert output.logits.shape == (3, 9, VOCAB)  # evaluation wants them
    assert model(tokens, labels=torch.full_like(tokens, -100)).loss == 0


def gradients_and_bytes(model, batch, mask):
    """The gradients, and how many bytes the forward pass keeps for the backward pass beside the parameters."""
    own = {parameter.data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(batch, attention_mask=mask, labels=batch.masked_fill(mask == 0, -100)).loss
    model.zero_grad()
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None], sum(
        kept.values()
    )


@SPECS
def test_gradient_checkpointing_keeps_less_and_changes_nothing(spec):
    model = wrapped(spec).train()
    batch, mask = padded()
    plain, most = gradients_and_bytes(model, batch, mask)
    model.activation_checkpointing_enable()
    assert model.is_activation_checkpointing
    checkpointed, least = gradients_and_bytes(model, batch, mask)
    torch.testing.assert_close(checkpointed, plain, rtol=0, atol=0)
    assert least < most / 2
    if spec is QWEN:
        # One input a layer, against everything inside: below a fourth for six layers.
        assert least < most / 4
    model.eval()
    expected = randomised(spec)(batch)
    torch.testing.assert_close(model(batch).logits, expected)
    model.activation_checkpointing_disable()
    again, as_before = gradients_and_bytes(model.train(), batch, mask)
    assert not model.is_activation_checkpointing
    torch.testing.assert_close(again, plain, rtol=0, atol=0)
    assert as_before == pytest.approx(most, rel=0.1)  # memory that was freed may be counted under its next owner


def test_checkpointing_every_second_layer_runs_half_of_them_twice():
    model, calls = wrapped(QWEN).train(), []
    for layer in model.model.decoder.layers:
        layer.mixer.register_forward_hook(lambda *inputs: calls.append(1))
    for options, runs in (({}, 12), ({"every_n_layers": 2}, 9)):
        model.activation_checkpointing_disable()
        model.activation_checkpointing_enable(**options)
        calls.clear()
        model(tokens_of(2, 5), labels=tokens_of(2, 5)).loss.backward()
        assert len(calls) == runs


@RESIZED
@pytest.mark.parametrize("size", [40, 12])
@pytest.mark.parametrize("mean", [True, False])
def test_resizing_keeps_the_logits_of_old_tokens_and_all_ties(spec, size, mean, tmp_path):
    model = wrapped(spec)
    tokens = tokens_of(2, 7).clamp(max=11)
    old = min(size, VOCAB)
    with torch.no_grad():
        before = model(tokens).logits
        model.resize_token_embeddings(size, mean_resizing=mean)
        after = model(tokens).logits
    assert after.shape == (2, 7, size)
    torch.testing.assert_close(after[..., :old], before[..., :old])
    assert after.isfinite().all()
    assert model.config.vocab_size == model.config.spec.vocab_size == model.model.decoder.spec.vocab_size == size
    assert model.config.spec == replace(spec, vocab_size=size)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == spec.tied_embeddings
    assert model.lm_head.out_features == size
    assert model.num_parameters() == model.config.spec.cost().parameters
    model.save_pretrained(tmp_path)
    again = OctadForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(tokens).logits, after)
        assert torch.equal(model.to_decoder()(tokens), after)
    loss = model(tokens, labels=tokens).loss
    loss.backward()
    assert model.get_input_embeddings().weight.grad.isfinite().all()


def test_what_training_cannot_do_is_refused():
    with pytest.raises(ArchError, match="use_reentrant=True loses gradients"):
        wrapped(QWEN).activation_checkpointing_enable({"use_reentrant": True})
    model = wrapped(SPHERE)
    with pytest.raises(ArchError, match="a model with logit_gain keeps its vocabulary"):
        model.resize_token_embeddings(40)
    assert model.config.vocab_size == len(model.get_input_embeddings().weight) == VOCAB


def test_resizing_to_a_multiple():
    model = wrapped(BIASED)
    model.resize_token_embeddings(33, pad_to_multiple_of=8)
    assert model.config.vocab_size == len(model.lm_head.bias) == 40


def test_a_head_that_was_replaced_is_used_by_the_loss():
    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model, tokens = wrapped(BIASED), tokens_of(2, 6)
    doubled = Doubled(20, VOCAB)
    doubled.load_state_dict(model.lm_head.state_dict())
    with torch.no_grad():
        logits = 2 * model(tokens).logits
        model.set_output_embeddings(doubled)
        output = model(tokens, labels=tokens)
        torch.testing.assert_close(output.logits, logits)
        torch.testing.assert_close(output.loss, F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()))
