"""The Hugging Face wrapper against transformers' own classes and against each row alone, all parameters randomised."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    Copies,
    Decoder,
    DynamicCache,
    GatedDeltaNet,
    HyperConnections,
    Initialization,
    KeepValue,
    Layer,
    LayerNorm,
    LearnedPositions,
    Mamba2,
    PostNorm,
    SwiGLU,
    ValueResidual,
    llama_decoder,
    load_pretrained,
    ngpt_decoder,
    qwen3_decoder,
    save_pretrained,
)
from octad_arch.generation_cache import GenerationCache
from octad_arch.transformers_model import OctadConfig, OctadForCausalLM, OctadModel, register_auto_classes
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
VOCAB = 31
QWEN = qwen3_decoder(VOCAB, 24, 2, 3, 1, 8, d_ff=20)
LLAMA = llama_decoder(VOCAB, 24, 2, 3, 1, 8, d_ff=20)
LEARNED = Decoder(
    VOCAB,
    20,
    (Layer(Attention(2, 1, 8, None), MLP(12), LayerNorm(), PostNorm()), Layer(Attention(4, 2, 6, window=3), MLP(9))),
    LayerNorm(),
    position=LearnedPositions(16),
    tied_embeddings=False,
    head_bias=True,
    logit_softcap=3.0,
    logit_scale=0.7,
)
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def the_pairs():
    """The covering array of `test_pairs.py`."""
    spec = importlib.util.spec_from_file_location("pairs_of_parts", Path(__file__).with_name("test_pairs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [module.decoder_of(row) for row in module.ROWS]


PAIRS = the_pairs()
BLOCK = Layer(Attention(4, 2, 6), MLP(9))
VALUES = [replace(BLOCK, mixer=replace(BLOCK.mixer, value_mix=mix)) for mix in (KeepValue(), ValueResidual())]
OTHERS = {
    "learned": LEARNED,
    "delta": Decoder(VOCAB, 20, (Layer(GatedDeltaNet(2, 2, 6, 5), SwiGLU(8)), BLOCK)),
    "mamba": Decoder(VOCAB, 20, (Layer(Mamba2(4, 6, 5), MLP(8)), BLOCK), tied_embeddings=False),
    "copies": Decoder(VOCAB, 20, (replace(BLOCK, placement=HyperConnections(2)),) * 2, stream=Copies(2)),
    "values": Decoder(VOCAB, 20, tuple(VALUES)),
    "sphere": ngpt_decoder(VOCAB, 24, 2, 3, 20),
}
STATES = {"delta", "mamba"}


def randomised(spec, seed=3):
    decoder, generator = spec.build(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return decoder.eval()


def wrapped(spec, seed=3, **entries):
    return OctadForCausalLM.from_decoder(randomised(spec, seed), **IDS | entries)


def tokens_of(*shape, seed=1):
    return torch.randint(3, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def padded(lengths, side, seed=1):
    """Rows of these lengths in one batch, and the mask."""
    tokens, mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long), torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        span = slice(max(lengths) - length, None) if side == "left" else slice(0, length)
        tokens[row, span], mask[row, span] = tokens_of(length, seed=seed + row), 1
    return tokens, mask.long()


@pytest.mark.parametrize("spec", [QWEN, LLAMA, *OTHERS.values()], ids=["qwen3", "llama", *OTHERS])
@pytest.mark.parametrize("shards", ["5GB", "4KB"])
def test_saved_models_come_back_bit_equal(spec, shards, tmp_path):
    model = wrapped(spec)
    model.save_pretrained(tmp_path, max_shard_size=shards)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shards == "4KB")
    again, info = OctadForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    assert again.config.spec == spec
    ours, theirs = (dict(one.named_parameters()) for one in (model, again))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (again.lm_head.weight is again.get_input_embeddings().weight) == spec.tied_embeddings
    assert again.num_parameters() == spec.cost().parameters
    with torch.no_grad():
        assert torch.equal(again(tokens_of(2, 9)).logits, model(tokens_of(2, 9)).logits)


def test_auto_classes_read_a_folder_once_registered(tmp_path):
    register_auto_classes()
    register_auto_classes()
    model = wrapped(LEARNED)
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).spec == LEARNED
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    assert type(again) is OctadForCausalLM
    assert again.lm_head.weight.dtype == torch.float64
    with torch.no_grad():
        torch.testing.assert_close(again(tokens_of(2, 9)).logits.float(), model(tokens_of(2, 9)).logits, **TOLERANCE)
        bare = AutoModel.from_pretrained(tmp_path)
        assert type(bare) is OctadModel
        assert torch.equal(bare(tokens_of(2, 9)).last_hidden_state, model.model(tokens_of(2, 9)).last_hidden_state)
    assert AutoModelForCausalLM.from_config(model.config).num_parameters() == model.num_parameters()


def test_config_is_readable_and_holds_nothing_twice(tmp_path):
    wrapped(QWEN).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "octad"
    assert config["spec"]["layers"][0]["repeat"] == 2
    assert config["eos_token_id"] == 2
    assert not config.keys() & {"vocab_size", "hidden_size", "num_hidden_layers", "tie_word_embeddings"}


def test_broken_checkpoints_are_refused(tmp_path):
    model = wrapped(QWEN)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    wider = config | {"spec": config["spec"] | {"tied_embeddings": False}}
    (tmp_path / "config.json").write_text(json.dumps(wider))
    with pytest.raises(ArchError, match=r"lacks lm_head\.weight"):
        OctadForCausalLM.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"spec": {"class": "Decode"}}))
    with pytest.raises(ArchError, match="nearest is 'Decoder'"):
        OctadForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(ArchError, match="use safetensors"):
        OctadForCausalLM.from_pretrained(tmp_path, use_safetensors=False)
    with pytest.raises(ArchError, match="spec is a NoneType"):
        OctadConfig()


def test_new_models_follow_the_specification_and_torchs_seed():
    spec = replace(LEARNED, initialization=Initialization(0.5))
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(OctadForCausalLM(OctadConfig(spec=spec)))
    first, same, other = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    assert not torch.equal(first["model.decoder.embedding.weight"], other["model.decoder.embedding.weight"])
    for name in ("lm_head.weight", "model.decoder.embedding.weight"):
        assert 0.45 < first[name].std() < 0.55
    assert first["model.decoder.layers.1.mixer.input_norm.weight"].eq(1).all()
    assert first["lm_head.bias"].eq(0).all()


def test_importing_the_package_does_not_import_transformers():
    code = "import sys, octad_arch, octad_arch.serialization; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize("spec", [*PAIRS, *OTHERS.values()], ids=[*range(len(PAIRS)), *OTHERS])
def test_logits_are_the_decoders_and_padding_changes_nothing(spec):
    decoder = randomised(spec).double()  # in float32 another width of the batch rounds otherwise, up to 2e-5
    model = OctadForCausalLM.from_decoder(decoder)
    tokens = tokens_of(2, 9)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens).logits, decoder(tokens), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model.to_decoder()(tokens), decoder(tokens), rtol=0, atol=0)
        for side in ("left", "right"):
            batch, mask = padded([9, 4, 6], side)
            for use_cache in (False, True):
                together = model(batch, attention_mask=mask, use_cache=use_cache)
                assert together.logits.isfinite().all()
                assert (together.past_key_values is not None) == use_cache
                for row in range(3):
                    real = mask[row].bool()
                    alone = model(batch[row, real][None]).logits[0]
                    torch.testing.assert_close(together.logits[row, real], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spec", [QWEN, *OTHERS.values()], ids=["rotary", *OTHERS])
def test_holes_and_packed_rows_equal_each_sequence_alone(spec):
    model = wrapped(spec)
    tokens = tokens_of(2, 13)
    mask = torch.ones_like(tokens)
    mask[0, [0, 3, 4, 12]] = 0
    with torch.no_grad():
        holes = model(tokens, attention_mask=mask).logits
        torch.testing.assert_close(holes[0, mask[0].bool()], model(tokens[:1, mask[0].bool()]).logits[0], **TOLERANCE)
        torch.testing.assert_close(holes[1], model(tokens[1:]).logits[0], **TOLERANCE)

        positions = torch.tensor([[*range(5), *range(6), *range(2)]])
        packed = model(tokens[:1], position_ids=positions).logits[0]
        for start, end in ((0, 5), (5, 11), (11, 13)):
            torch.testing.assert_close(packed[start:end], model(tokens[:1, start:end]).logits[0], **TOLERANCE)
        with pytest.raises(ArchError, match="position_ids do not rise"):
            model(tokens[:1], position_ids=positions, use_cache=True)
        with pytest.raises(ArchError, match="packed sequences need position_ids"):
            model(tokens[:1], cu_seq_lens_q=torch.tensor([0, 5, 13]))


def test_positions_that_are_given_are_used():
    decoder = randomised(LEARNED)
    model, tokens = OctadForCausalLM.from_decoder(decoder), tokens_of(2, 5)
    positions = torch.tensor([[0, 2, 3, 7, 9]])
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        torch.testing.assert_close(
            model(tokens, position_ids=positions).logits, decoder(tokens, positions), rtol=0, atol=0
        )
        masked = model(tokens, attention_mask=mask, position_ids=positions.expand(2, -1)).logits
        torch.testing.assert_close(masked[0, 1:], decoder(tokens[:1, 1:], positions[:, 1:])[0], **TOLERANCE)


def test_rows_of_nothing_but_padding_harm_no_other():
    model, tokens = wrapped(QWEN), tokens_of(3, 4)
    mask = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]])
    with torch.no_grad():
        logits = model(tokens, attention_mask=mask).logits
        torch.testing.assert_close(logits[1, 1:], model(tokens[1:2, 1:]).logits[0], **TOLERANCE)
        assert model(tokens, attention_mask=mask * 0).logits.isfinite().all()


def test_logits_to_keep_and_tuples():
    model, tokens = wrapped(QWEN), tokens_of(2, 7)
    with torch.no_grad():
        full = model(tokens).logits
        assert torch.equal(model(tokens, logits_to_keep=2).logits, full[:, -2:])
        assert torch.equal(model(tokens, logits_to_keep=torch.tensor([1, 4])).logits, full[:, [1, 4]])
        assert torch.equal(model(tokens, return_dict=False)[0], full)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"inputs_embeds": torch.zeros(2, 4, 24)}, "give input_ids"),
        ({"output_hidden_states": True}, "output_hidden_states: layers"),
        ({"output_attentions": True}, "output_attentions: layers"),
        ({"attention_mask": torch.ones(2, 1, 4, 4)}, r"attention_mask has shape \(2, 1, 4, 4\)"),
        ({"attention_mask": torch.ones(2, 5), "use_cache": True}, r"ask for \(2, 4\)"),
    ],
)
def test_what_cannot_be_done_is_refused(inputs, message):
    with pytest.raises(ArchError, match=message):
        wrapped(QWEN)(tokens_of(2, 4), **inputs)


@pytest.mark.parametrize("spec", [QWEN, LLAMA, replace(LLAMA, tied_embeddings=True)], ids=["qwen3", "llama", "tied"])
def test_generation_equals_that_of_transformers_own_class(spec, tmp_path):
    decoder = randomised(spec)
    save_pretrained(decoder, tmp_path, extra_config=IDS)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path)
    model = OctadForCausalLM.from_decoder(load_pretrained(tmp_path), **IDS)
    batch, mask = padded([7, 3, 5], "left")
    for options in (
        {},
        {"num_beams": 3, "num_return_sequences": 2},
        {"num_beams": 2, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
        {"use_cache": False},
        {"max_new_tokens": 4, "min_new_tokens": 4},
    ):
        options = {"max_new_tokens": 12, "do_sample": False} | options
        ours, theirs = (one.generate(batch, attention_mask=mask, **options) for one in (model, reference))
        assert torch.equal(ours, theirs), options
    sampled = []
    for one in (model, reference):
        torch.manual_seed(5)
        options = {"do_sample": True, "top_k": 9, "top_p": 0.9, "temperature": 1.4, "num_return_sequences": 2}
        sampled.append(one.generate(batch, attention_mask=mask, max_new_tokens=12, **options))
    assert torch.equal(*sampled)


@pytest.mark.parametrize("spec", [*OTHERS.values(), *PAIRS[::9]])
def test_generation_is_the_same_for_each_row_alone_and_without_cache(spec):
    model = wrapped(replace(spec, position=None if spec.position is None else LearnedPositions(40)))
    batch, mask = padded([6, 2, 4], "left")
    options = {"max_new_tokens": 9, "do_sample": False, "pad_token_id": 0}
    together = model.generate(batch, attention_mask=mask, **options)
    assert torch.equal(model.generate(batch, attention_mask=mask, use_cache=False, **options), together)
    for row in range(3):
        alone = model.generate(batch[row, mask[row].bool()][None], **options)[0]
        new = together[row, batch.shape[1] :]
        begin = int(mask[row].sum())
        length = len(alone) - begin
        assert torch.equal(new[:length], alone[begin:])
        assert new[length:].eq(0).all()


def test_generation_goes_on_from_a_cache():
    model, tokens = wrapped(QWEN), tokens_of(2, 6)
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    expected = model.generate(tokens, **options)
    first = model.generate(tokens, return_dict_in_generate=True, **options | {"max_new_tokens": 3, "min_new_tokens": 3})
    cache = first.past_key_values
    assert isinstance(cache, GenerationCache)
    assert cache.get_seq_length() == 8  # the last token has not been read yet
    more = model.generate(
        first.sequences, past_key_values=cache, **options | {"max_new_tokens": 3, "min_new_tokens": 3}
    )
    assert torch.equal(more, expected)


@pytest.mark.parametrize("name", ["qwen3", *sorted(OTHERS.keys() - STATES)])
def test_assisted_generation_gives_what_greedy_gives(name):
    spec = ({"qwen3": QWEN} | OTHERS)[name]
    spec = replace(spec, position=None if spec.position is None else LearnedPositions(60))
    model, assistant = wrapped(spec), wrapped(replace(spec, layers=spec.layers[:1]), seed=3)
    tokens = tokens_of(1, 6)
    options = {"max_new_tokens": 16, "do_sample": False}
    expected = model.generate(tokens, **options)
    assert torch.equal(model.generate(tokens, assistant_model=assistant, **options), expected)
    assert torch.equal(model.generate(tokens, prompt_lookup_num_tokens=3, **options), expected)


def test_a_cache_follows_rows_and_goes_back():
    model, tokens = wrapped(QWEN), tokens_of(3, 8)
    mask = torch.ones_like(tokens)
    mask[1, :2] = 0
    with torch.no_grad():
        expected = model(tokens, attention_mask=mask).logits
        cache = model(tokens[:, :6], attention_mask=mask[:, :6], use_cache=True).past_key_values
        cache.crop(-2)
        cache.crop(0)
        assert cache.get_seq_length() == 4
        cache.batch_repeat_interleave(2)
        cache.batch_select_indices(torch.tensor([3, 0, 5]))
        order = [1, 0, 2]
        cached = model(tokens[order, 4:], past_key_values=cache).logits  # no mask: the cache knows its padding
        torch.testing.assert_close(cached, expected[order, 4:], **TOLERANCE)
    with pytest.raises(ArchError, match=r"crop\(3\)"):
        cache.crop(3)


@pytest.mark.parametrize("name", sorted(STATES))
def test_states_cannot_go_back(name):
    cache = wrapped(OTHERS[name])(tokens_of(1, 4), use_cache=True).past_key_values
    cache.crop(0)
    with pytest.raises(ArchError, match="layers with a state cannot forget"):
        cache.crop(-1)


def test_other_caches_are_refused():
    model = wrapped(QWEN)
    with pytest.raises(ArchError, match="cache_implementation='static'"):
        model.generate(tokens_of(1, 3), cache_implementation="static", max_new_tokens=2)
    encoder = replace(QWEN, layers=(replace(QWEN.layers[0], mixer=Attention(3, 1, 8, is_causal=False)),))
    with pytest.raises(ArchError, match="cannot run on a cache"):
        wrapped(encoder).generate(tokens_of(1, 3), max_new_tokens=2)


def test_wrapper_shares_its_parameters_with_the_decoder():
    for spec in (QWEN, *OTHERS.values()):
        decoder = randomised(spec)
        model = OctadForCausalLM.from_decoder(decoder)
        mine = {parameter.data_ptr() for parameter in model.parameters()}
        assert mine == {parameter.data_ptr() for parameter in decoder.parameters()}
        assert mine == {parameter.data_ptr() for parameter in model.to_decoder().parameters()}
        positions = torch.arange(5)[None]
        with torch.no_grad():
            expected = decoder(tokens_of(1, 5), positions, DynamicCache())
            torch.testing.assert_close(model(tokens_of(1, 5), use_cache=True).logits, expected, rtol=0, atol=0)
