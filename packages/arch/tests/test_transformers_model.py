"""Any decoder as a Hugging Face model: generation, padding, losses, files, resizing, checkpointing."""

import pytest
import torch
from octad_arch import (
    MLP,
    ALiBi,
    ArchError,
    Attention,
    Copies,
    Decoder,
    GatedDeltaNet,
    HyperConnections,
    Initialization,
    Layer,
    LearnedPositions,
    Mamba2,
    MoE,
    RMSNorm,
    SoftmaxRouter,
    SwiGLU,
    linear_cross_entropy,
    qwen3_decoder,
    save_pretrained,
)
from octad_arch.transformers_config import OctadConfig
from octad_arch.transformers_model import OctadForCausalLM, register_auto_classes
from transformers import AutoModelForCausalLM

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
TOKENS = torch.randint(3, 61, (3, 12), generator=torch.Generator().manual_seed(1))
QWEN = qwen3_decoder(61, 32, 2, 4, 2, 8, 48, context_length=64)
START = Initialization(0.3)


def decoder(*layers, **options):
    return Decoder(61, 32, layers, initialization=START, context_length=64, **options)


SPECS = {
    "qwen3": QWEN,
    "hybrid": decoder(Layer(GatedDeltaNet(2, 2, 6, 5), SwiGLU(20)), Layer(Attention(4, 2, 8), SwiGLU(20))),
    "mamba": decoder(Layer(Mamba2(4, 6, 5), MLP(20)), tied_embeddings=False),
    "windows, learned positions": decoder(
        Layer(Attention(4, 1, 8, None, window=3, sinks=True), MLP(20)), position=LearnedPositions(64), head_bias=True
    ),
    "experts, caps": decoder(
        Layer(Attention(4, 4, 8, None, position_bias=ALiBi(), softcap=2.0), MoE(4, 12, SoftmaxRouter(2))),
        logit_softcap=3.0,
        logit_scale=0.7,
    ),
    "hyper-connections": decoder(
        *(Layer(Attention(4, 2, 8), MLP(20), RMSNorm(), HyperConnections(2)),) * 2, stream=Copies(2)
    ),
}


def wrapped(name, **entries):
    model = SPECS[name].build()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return OctadForCausalLM.from_decoder(model, pad_token_id=0, **entries).eval(), model.eval()


def padded_left(tokens, lengths):
    width = max(lengths)
    rows, mask = torch.zeros(len(lengths), width, dtype=torch.long), torch.zeros(len(lengths), width, dtype=torch.long)
    for index, length in enumerate(lengths):
        rows[index, width - length :], mask[index, width - length :] = tokens[index, :length], 1
    return rows, mask


@pytest.mark.parametrize("name", SPECS)
def test_logits_are_the_decoders_whatever_the_padding(name):
    model, plain = wrapped(name)
    lengths = (12, 7, 3)
    rows, mask = padded_left(TOKENS, lengths)
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS).logits, plain(TOKENS), **CLOSE)
        left, right = model(rows, mask).logits, model(rows.flip(1), mask.flip(1)).logits
        cached = model(rows, mask, use_cache=True)
        for index, length in enumerate(lengths):
            alone = plain(TOKENS[index : index + 1, :length])[0]
            torch.testing.assert_close(left[index, 12 - length :], alone, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(cached.logits[index, 12 - length :], alone, rtol=1e-4, atol=1e-4)
            backwards = plain(TOKENS[index : index + 1, :length].flip(1))[0]
            torch.testing.assert_close(right[index, :length], backwards, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SPECS)
def test_padded_generation_is_that_of_each_row_alone(name):
    model, plain = wrapped(name)
    lengths = (12, 7, 3)
    rows, mask = padded_left(TOKENS, lengths)
    options = {"max_new_tokens": 6, "do_sample": False}
    together = model.generate(rows, attention_mask=mask, **options)[:, 12:]
    for index, length in enumerate(lengths):
        alone = TOKENS[index : index + 1, :length]
        with torch.no_grad():
            for _ in range(6):
                alone = torch.cat((alone, plain(alone)[:, -1:].argmax(-1)), 1)
        assert torch.equal(together[index], alone[0, length:])
    uncached = model.generate(rows, attention_mask=mask, use_cache=False, **options)[:, 12:]
    assert torch.equal(together, uncached)


def test_generation_equals_transformers_own_qwen3(tmp_path):
    model, plain = wrapped("qwen3")
    save_pretrained(plain, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    rows, mask = padded_left(TOKENS, (12, 7, 3))
    given = {"attention_mask": mask, "max_new_tokens": 8, "pad_token_id": 0}
    for options in ({"do_sample": False}, {"num_beams": 3, "do_sample": False, "length_penalty": 0.8}):
        assert torch.equal(model.generate(rows, **given, **options), theirs.generate(rows, **given, **options))
    torch.manual_seed(5)
    ours = model.generate(rows, do_sample=True, top_k=7, **given)
    torch.manual_seed(5)
    assert torch.equal(ours, theirs.generate(rows, do_sample=True, top_k=7, **given))


def test_loss_is_the_decoders_and_divided_by_what_the_trainer_says():
    for name in ("qwen3", "windows, learned positions", "experts, caps"):
        model, plain = wrapped(name)
        labels = TOKENS.clone()
        labels[0, :5] = -100
        loss = model(TOKENS, labels=labels).loss
        if name == "qwen3":
            expected = linear_cross_entropy(plain.hidden(TOKENS)[:, :-1], plain.output_weight, labels[:, 1:])
        else:
            logits = plain(TOKENS)[:, :-1]
            expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
        torch.testing.assert_close(loss, expected, **CLOSE)
        count = (labels[:, 1:] != -100).sum()
        torch.testing.assert_close(model(TOKENS, labels=labels, num_items_in_batch=2 * count).loss, loss / 2, **CLOSE)
        trained = model.train()(TOKENS, labels=labels)
        assert trained.logits is None
        torch.testing.assert_close(trained.loss, loss, **CLOSE)


@pytest.mark.parametrize("name", SPECS)
def test_saved_and_loaded_is_bit_equal(name, tmp_path):
    register_auto_classes()
    model, plain = wrapped(name, eos_token_id=2)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert isinstance(again, OctadForCausalLM) and again.config.spec == plain.spec
    with torch.no_grad():
        assert torch.equal(again(TOKENS).logits, model(TOKENS).logits)
        assert torch.equal(again.to_decoder()(TOKENS), plain(TOKENS))
    half = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", ["qwen3", "mamba", "windows, learned positions"])
@pytest.mark.parametrize("size", [40, 80])
def test_resized_embeddings_keep_what_was_there(name, size):
    model, plain = wrapped(name)
    before = plain(TOKENS % 40)[..., :40]
    model.resize_token_embeddings(size)
    assert model.config.spec.vocab_size == size and model.config.vocab_size == size
    with torch.no_grad():
        after = model(TOKENS % 40).logits
    assert after.shape[-1] == size
    torch.testing.assert_close(after[..., :40], before, **CLOSE)
    is_tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert is_tied == model.config.spec.tied_embeddings
    assert model.to_decoder()(TOKENS % 40).shape[-1] == size


def test_checkpointed_layers_give_the_same_gradients():
    def gradients(checkpointed):
        model, _ = wrapped("qwen3")
        model.train()
        if checkpointed:
            model.activation_checkpointing_enable()
            assert model.is_activation_checkpointing
        calls = []
        model.model.decoder.layers[0].mixer.register_forward_hook(lambda *given: calls.append(1))
        model(TOKENS, labels=TOKENS).loss.backward()
        return [parameter.grad for parameter in model.parameters()], len(calls)

    plain, once = gradients(False)
    again, twice = gradients(True)
    assert (once, twice) == (1, 2)
    for ours, theirs in zip(again, plain, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_packed_sequences_do_not_see_each_other():
    model, plain = wrapped("hybrid")
    positions = torch.cat((torch.arange(5), torch.arange(7)))[None]
    with torch.no_grad():
        packed = model(TOKENS[:1], position_ids=positions).logits[0]
        torch.testing.assert_close(packed[:5], plain(TOKENS[:1, :5])[0], **CLOSE)
        torch.testing.assert_close(packed[5:], plain(TOKENS[:1, 5:])[0], **CLOSE)


def test_what_cannot_be_is_told(tmp_path):
    model, _ = wrapped("hybrid")
    with pytest.raises(ArchError, match="inputs_embeds"):
        model(TOKENS, inputs_embeds=torch.zeros(3, 12, 32))
    with pytest.raises(ArchError, match="output_attentions"):
        model(TOKENS, output_attentions=True)
    with pytest.raises(ArchError, match="cannot forget"):
        cache = model(TOKENS, use_cache=True).past_key_values
        cache.crop(-1)
    with pytest.raises(ArchError, match="needs a Decoder"):
        OctadConfig(spec=3)
    model.save_pretrained(tmp_path)
    with pytest.raises(ArchError, match="safetensors"):
        OctadForCausalLM.from_pretrained(tmp_path, use_safetensors=False)
