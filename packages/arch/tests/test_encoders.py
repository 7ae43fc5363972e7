"""Encoders, and encoders with decoders, against transformers and torch: randomised, padded, both ways."""

import pytest
import torch
import transformers
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    CrossAttention,
    Decoder,
    DynamicCache,
    Encoder,
    EncoderDecoder,
    HeadedEncoder,
    Layer,
    LayerNorm,
    LearnedPositions,
    PooledHead,
    PostNorm,
    RelativeBias,
    TokenHead,
    bert_encoder,
    load_encoder,
    load_encoder_decoder,
    load_pretrained,
    save_pretrained,
    transformer_2017,
)
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
TOKENS = torch.randint(5, 90, (3, 13), generator=torch.Generator().manual_seed(1))
KEEP = torch.ones(3, 13, dtype=torch.bool)
KEEP[1, 9:], KEEP[2, 4:] = False, False
SEGMENTS = (torch.arange(13) > 5).long().expand(3, -1)

SMALL = {"vocab_size": 97, "hidden_size": 42, "num_hidden_layers": 3, "num_attention_heads": 7}
SMALL |= {"intermediate_size": 44, "max_position_embeddings": 40}
MODERN = SMALL | {"local_attention": 6, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MODERN |= {"cls_token_id": 1, "sep_token_id": 2}
ENCODERS = {
    "bert words": ("bert", "BertForMaskedLM", SMALL),
    "bert pretraining": ("bert", "BertForPreTraining", SMALL | {"hidden_act": "relu", "layer_norm_eps": 1e-5}),
    "bert labels": ("bert", "BertForSequenceClassification", SMALL | {"num_labels": 5}),
    "bert tags": ("bert", "BertForTokenClassification", SMALL | {"num_labels": 4}),
    "bert spans": ("bert", "BertForQuestionAnswering", SMALL),
    "roberta words": ("roberta", "RobertaForMaskedLM", SMALL | {"type_vocab_size": 1}),
    "roberta labels": ("roberta", "RobertaForSequenceClassification", SMALL | {"type_vocab_size": 1, "num_labels": 3}),
    "roberta tags": ("roberta", "RobertaForTokenClassification", SMALL | {"type_vocab_size": 2}),
    "modernbert words": ("modernbert", "ModernBertForMaskedLM", MODERN),
    "modernbert biased": (
        "modernbert",
        "ModernBertForMaskedLM",
        MODERN
        | {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True, "decoder_bias": False},
    ),
    "modernbert labels": ("modernbert", "ModernBertForSequenceClassification", MODERN | {"num_labels": 3}),
    "modernbert mean": (
        "modernbert",
        "ModernBertForSequenceClassification",
        MODERN | {"classifier_pooling": "mean", "layer_types": ["sliding_attention"] * 2 + ["full_attention"]},
    ),
}
T5 = {"vocab_size": 97, "d_model": 42, "d_kv": 12, "d_ff": 44, "num_heads": 7, "num_layers": 2}
T5 |= {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 10}
BART = {"vocab_size": 97, "d_model": 42, "encoder_layers": 2, "decoder_layers": 3, "max_position_embeddings": 40}
BART |= {"encoder_attention_heads": 7, "decoder_attention_heads": 3, "encoder_ffn_dim": 44, "decoder_ffn_dim": 46}
SEQ2SEQ = {
    "t5": ("t5", T5 | {"num_decoder_layers": 3}),
    "t5 gated": ("t5", T5 | {"feed_forward_proj": "gated-gelu"}),
    "bart": ("bart", BART),
    "bart scaled": ("bart", BART | {"scale_embedding": True, "activation_function": "relu"}),
}


def randomised(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in [
            *model.parameters(),
            *(b for name, b in model.named_buffers() if name == "final_logits_bias"),
        ]:
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def outputs_of(reference, tokens, keep, segments):
    given = {} if segments is None else {"token_type_ids": segments}
    result = reference(tokens, attention_mask=keep.long(), **given)
    if "start_logits" in result:
        return [torch.stack((result.start_logits, result.end_logits), -1)]
    names = ("prediction_logits", "seq_relationship_logits", "logits")
    return [result[name] for name in names if name in result]


@pytest.mark.parametrize("case", ENCODERS)
def test_encoder_equals_hugging_face_both_ways_and_padded(case, tmp_path):
    model_type, architecture, entries = ENCODERS[case]
    config = AutoConfig.for_model(model_type, **entries)
    config._attn_implementation = "eager"
    reference = randomised(getattr(transformers, architecture)(config))
    reference.save_pretrained(tmp_path / "theirs")
    model = load_encoder(tmp_path / "theirs")
    segments = SEGMENTS if model.spec.encoder.segments > 1 else None
    with torch.no_grad():
        expected = outputs_of(reference, TOKENS, KEEP, segments)
        got = list(model(TOKENS, KEEP, segments).values())
        assert len(got) == len(expected) > 0
        for ours, theirs in zip(got, expected, strict=True):
            kept = KEEP if ours.ndim == 3 else slice(None)
            torch.testing.assert_close(ours[kept], theirs[kept], **TOLERANCE)
    save_pretrained(model, tmp_path / "ours")
    again, info = getattr(transformers, architecture).from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    theirs, ours = (load_file(tmp_path / side / "model.safetensors") for side in ("theirs", "ours"))
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    with torch.no_grad():
        for back, theirs_again in zip(outputs_of(again, TOKENS, KEEP, segments), expected, strict=True):
            assert torch.equal(back, theirs_again)
    assert load_encoder(tmp_path / "ours").spec == model.spec
    assert model.spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("case", SEQ2SEQ)
def test_encoder_decoder_equals_hugging_face_both_ways_and_cached(case, tmp_path):
    model_type, entries = SEQ2SEQ[case]
    config = AutoConfig.for_model(model_type, **entries)
    config._attn_implementation = "eager"
    reference = randomised(AutoModelForSeq2SeqLM.from_config(config))
    reference.save_pretrained(tmp_path / "theirs")
    model = load_encoder_decoder(tmp_path / "theirs")
    target = TOKENS.flip(1)[:, :7]
    with torch.no_grad():
        expected = reference(input_ids=TOKENS, attention_mask=KEEP.long(), decoder_input_ids=target).logits
        logits = model(TOKENS, target, KEEP)
        torch.testing.assert_close(logits, expected, **TOLERANCE)
        memory, cache, positions = model.encode(TOKENS, KEEP), DynamicCache(), torch.arange(7).expand(3, -1)
        parts = [slice(0, 3), slice(3, 4), slice(4, 7)]
        cached = [model.decoder(target[:, part], positions[:, part], cache, memory) for part in parts]
        torch.testing.assert_close(torch.cat(cached, 1), logits, **TOLERANCE)
    save_pretrained(model, tmp_path / "ours")
    again, info = AutoModelForSeq2SeqLM.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    with torch.no_grad():
        given = {"input_ids": TOKENS, "attention_mask": KEEP.long(), "decoder_input_ids": target}
        assert torch.equal(again.eval()(**given).logits, expected)
    assert load_encoder_decoder(tmp_path / "ours").spec == model.spec
    assert model.spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())


def test_greedy_generation_equals_hugging_faces(tmp_path):
    reference = randomised(AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **T5)))
    reference.save_pretrained(tmp_path)
    model = load_encoder_decoder(tmp_path)
    ours = model.generate(TOKENS, start=0, stop=1, max_tokens=9, keep=KEEP)
    theirs = reference.generate(
        TOKENS, attention_mask=KEEP.long(), do_sample=False, max_new_tokens=9, min_length=0, decoder_start_token_id=0
    )[:, 1:]
    ours = ours[:, : theirs.shape[1]]
    assert torch.equal(ours.masked_fill(ours == 1, 0), theirs.masked_fill(theirs == 1, 0))  # they fill up with 0


@pytest.mark.parametrize("both", [True, False])
def test_relative_bias_buckets_equal_those_of_t5(both):
    from transformers.models.t5.modeling_t5 import T5Attention

    offsets = torch.arange(-300, 301)
    for buckets, distance in ((32, 128), (8, 10), (20, 60)):
        theirs = T5Attention._relative_position_bucket(offsets, both, buckets, distance)
        assert torch.equal(RelativeBias(buckets, distance, both).bucket(offsets), theirs)


def test_the_first_transformer_equals_torchs():
    spec = transformer_2017(31, 24, 2, 4, 40, final_norms=True)
    model = randomised(spec.build())
    theirs = torch.nn.Transformer(24, 4, 2, 2, 40, 0.0, batch_first=True, layer_norm_eps=1e-5)
    state = {}
    for side, layers in (("encoder", model.encoder.layers), ("decoder", model.decoder.layers)):
        for index, layer in enumerate(layers):
            start = f"{side}.layers.{index}"
            norms = [layer.mixer.output_norm]
            for block, name in ((layer.mixer, "self_attn"), (layer.cross, "multihead_attn")):
                if block is None:
                    continue
                attention = block.block
                for kind in ("weight", "bias"):
                    parts = [getattr(getattr(attention, part), kind) for part in ("query", "key", "value")]
                    state[f"{start}.{name}.in_proj_{kind}"] = torch.cat(parts)
                    state[f"{start}.{name}.out_proj.{kind}"] = getattr(attention.output, kind)
            norms += [layer.cross.output_norm] if layer.cross is not None else []
            norms.append(layer.feed_forward.output_norm)
            for number, norm in enumerate(norms, 1):
                state |= {f"{start}.norm{number}.{kind}": getattr(norm, kind) for kind in ("weight", "bias")}
            for name, part in (("linear1", "up"), ("linear2", "down")):
                linear = getattr(layer.feed_forward.block, part)
                state |= {f"{start}.{name}.{kind}": getattr(linear, kind) for kind in ("weight", "bias")}
        state |= {f"{side}.norm.{kind}": getattr(getattr(model, side).norm, kind) for kind in ("weight", "bias")}
    theirs.load_state_dict(state)
    source, target, keep = TOKENS % 31, TOKENS[:, :6] % 31, KEEP
    exponents = torch.arange(0, 24, 2) / 24
    angles = torch.arange(13)[:, None] / 10_000**exponents
    table = torch.stack((angles.sin(), angles.cos()), -1).flatten(1)
    embedding = model.encoder.embedding.weight
    with torch.no_grad():
        given = [embedding[ids] * 24**0.5 + table[: ids.shape[1]] for ids in (source, target)]
        mask = theirs.generate_square_subsequent_mask(6) < 0
        padding = {"src_key_padding_mask": ~keep, "memory_key_padding_mask": ~keep}
        states = theirs.train()(*given, tgt_mask=mask, **padding)
        torch.testing.assert_close(model(source, target, keep), states @ embedding.T, **TOLERANCE)


def test_padding_changes_nothing_and_has_no_gradient():
    model = randomised(HeadedEncoder(_encoder(), (("tags", TokenHead(3)), ("labels", PooledHead(2)))).build())
    alone = model(TOKENS[2:, :4])
    padded = model(TOKENS, KEEP)
    torch.testing.assert_close(padded["tags"][2, :4], alone["tags"][0], **TOLERANCE)
    torch.testing.assert_close(padded["labels"][2], alone["labels"][0], **TOLERANCE)
    embedded = []
    hook = model.encoder.embedding.register_forward_hook(lambda module, given, result: embedded.append(result))
    model(TOKENS, KEEP)["tags"][KEEP].sum().backward(inputs=[model.encoder.embedding.weight])
    states = model.encoder(TOKENS, KEEP)
    hook.remove()
    (gradient,) = torch.autograd.grad(states[KEEP].sum(), embedded[-1])
    assert (gradient[~KEEP] == 0).all() and (gradient[KEEP].abs().sum(-1) > 0).all()


def test_pretraining_weights_move_to_another_head():
    pretrained = randomised(HeadedEncoder(_encoder(), (("tags", TokenHead(3)),)).build())
    tuned = HeadedEncoder(_encoder(), (("labels", PooledHead(2)),)).build()
    tuned.take_body(pretrained)
    assert torch.equal(tuned.encoder(TOKENS), pretrained.encoder(TOKENS))
    other = HeadedEncoder(_encoder(d_ff=20), (("labels", PooledHead(2)),)).build()
    with pytest.raises(ArchError, match="different encoders"):
        other.take_body(pretrained)


def _encoder(d_ff=12):
    layer = Layer(Attention(2, 2, 8, None, is_causal=False), MLP(d_ff), LayerNorm(), PostNorm())
    return Encoder(97, 16, (layer,) * 2, None, 2, position=LearnedPositions(20), embedding_norm=LayerNorm())


def test_wrong_use_is_told(tmp_path):
    model = _encoder().build()
    with pytest.raises(ArchError, match="booleans"):
        model(TOKENS, KEEP.long())
    layer = Layer(Attention(2, 2, 8), MLP(12), cross=CrossAttention(2, 2, 8))
    decoder = Decoder(97, 16, (layer,)).build()
    with pytest.raises(ArchError, match="memory"):
        decoder(TOKENS)
    with pytest.raises(ArchError, match="cannot share"):
        EncoderDecoder(_encoder(), Decoder(90, 16, (layer,)))
    with pytest.raises(ArchError, match="is_causal=False cannot run on a cache"):
        Decoder(97, 16, (Layer(Attention(2, 2, 8, is_causal=False), MLP(12)),)).build()(
            TOKENS, torch.arange(13), DynamicCache()
        )
    with pytest.raises(ArchError, match="bert would make it layers="):
        save_pretrained(HeadedEncoder(_encoder(), (("spans", TokenHead(2)),)).build(), tmp_path)
    save_pretrained(HeadedEncoder(bert_encoder(97, 16, 2, 2), (("spans", TokenHead(2)),)).build(), tmp_path)
    with pytest.raises(ArchError, match="load_encoder"):
        load_pretrained(tmp_path)
