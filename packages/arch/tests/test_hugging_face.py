"""Exchange of weights with transformers, both ways, with every parameter randomised."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from octad_arch import (
    MLP,
    ArchError,
    PostNorm,
    llama_decoder,
    load_pretrained,
    qwen3_decoder,
    read_spec,
    save_pretrained,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

TOKENS = torch.randint(97, (2, 13), generator=torch.Generator().manual_seed(0))
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}  # float32 over a few layers; the order of the sums differs


def randomise(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator) + 0.5 * (parameter.ndim == 1))
    return model.eval()


SHAPES = {
    "grouped": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12},
    "seven_to_one": {"num_attention_heads": 7, "num_key_value_heads": 1, "head_dim": 6, "hidden_size": 42},
    "wide_heads": {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 96},
    "multi_head": {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8, "attention_bias": True},
}


def theirs(family, shape, tied):
    config_class, model_class = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}[
        family
    ]
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "rms_norm_eps": 1e-4}
    rope = {"rope_type": "default", "rope_theta": 1234.0}
    sizes |= {"tie_word_embeddings": tied, "rope_parameters": rope, "max_position_embeddings": 77}
    return randomise(model_class(config_class(**sizes | SHAPES[shape])))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_load_pretrained_gives_hugging_faces_logits(family, shape, tied, tmp_path):
    reference = theirs(family, shape, tied)
    reference.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), reference(TOKENS).logits, **TOLERANCE)
    assert model.spec.context_length == 77
    assert model.spec.tied_embeddings == tied


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("make", [llama_decoder, qwen3_decoder])
def test_save_pretrained_is_read_by_hugging_face_with_our_logits(make, tied, tmp_path):
    spec = make(97, 42, 3, 7, 1, d_head=10, d_ff=50, theta=777.0, eps=1e-4, tied_embeddings=tied, context_length=99)
    model = randomise(spec.build())
    save_pretrained(model, tmp_path / "new" / "folder", {"eos_token_id": 5})
    reference, info = AutoModelForCausalLM.from_pretrained(tmp_path / "new" / "folder", output_loading_info=True)
    assert not any(info.values())
    assert reference.config.eos_token_id == 5
    assert reference.config.max_position_embeddings == 99
    with torch.no_grad():
        torch.testing.assert_close(reference(TOKENS).logits, model(TOKENS), **TOLERANCE)


@pytest.mark.parametrize(("make", "mlp_bias"), [(llama_decoder, True), (llama_decoder, False), (qwen3_decoder, False)])
def test_save_pretrained_carries_offsets_to_hugging_face(make, mlp_bias, tmp_path):
    spec = make(97, 12, 1, 3)
    (layer,) = spec.layers
    mixer = replace(layer.mixer, bias=True, output_bias=True)
    layer = replace(layer, mixer=mixer, feed_forward=replace(layer.feed_forward, bias=mlp_bias))
    model = randomise(replace(spec, layers=(layer, layer)).build())
    reference, info = AutoModelForCausalLM.from_pretrained(save_pretrained(model, tmp_path), output_loading_info=True)
    assert not any(info.values())
    with torch.no_grad():
        torch.testing.assert_close(reference(TOKENS).logits, model(TOKENS), **TOLERANCE)
    assert load_pretrained(tmp_path).spec == model.spec


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_save_then_load_pretrained_is_exact(dtype, tmp_path):
    model = randomise(qwen3_decoder(97, 10, 2, 3, d_head=4).build(dtype=dtype))
    (tmp_path / "tokenizer.json").write_text("kept")
    save_pretrained(model, tmp_path)
    save_pretrained(model, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    again = load_pretrained(tmp_path)
    assert again.spec == model.spec == read_spec(tmp_path)
    for name, parameter in model.named_parameters():
        assert again.get_parameter(name).dtype == dtype
        assert torch.equal(again.get_parameter(name), parameter), name
    assert load_pretrained(tmp_path, dtype=torch.float64).embedding.weight.dtype == torch.float64


def test_load_pretrained_reads_shards(tmp_path):
    reference = theirs("qwen3", "grouped", False)
    reference.save_pretrained(tmp_path, max_shard_size="20KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    with torch.no_grad():
        torch.testing.assert_close(load_pretrained(tmp_path)(TOKENS), reference(TOKENS).logits, **TOLERANCE)
    shards[1].unlink()
    with pytest.raises(ArchError, match=f"{shards[1].name} is missing"):
        load_pretrained(tmp_path)


PEAK_OF_A_LOAD = """
import sys, threading, torch
from octad_arch import load_pretrained

def own_memory():
    with open("/proc/self/status") as status:  # of this process alone: mapped files do not count
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

folder, dtype = sys.argv[1], getattr(torch, sys.argv[2])
before, peak, done = own_memory(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.0005):
        peak = max(peak, own_memory())

watcher = threading.Thread(target=watch)
watcher.start()
model = load_pretrained(folder, dtype=dtype)
done.set()
watcher.join()
sizes = [parameter.nbytes for parameter in model.parameters()]
print(max(peak, own_memory()) - before, sum(sizes), max(sizes))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts the memory of a process as Linux does")
@pytest.mark.parametrize(
    ("max_shard_bytes", "dtype"), [pytest.param(None, "float32", marks=pytest.mark.slow), (20_000_000, "bfloat16")]
)
def test_load_pretrained_holds_the_model_once(max_shard_bytes, dtype, tmp_path):
    """103 MB in float32: beside the parameters, at most two tensors and 8 MB are ever held."""
    spec = llama_decoder(vocab_size=8000, d_model=512, num_layers=6, num_heads=8)
    options = {} if max_shard_bytes is None else {"max_shard_bytes": max_shard_bytes}
    save_pretrained(spec.build(), tmp_path, **options)
    command = [sys.executable, "-c", PEAK_OF_A_LOAD, str(tmp_path), dtype]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, whole, largest = map(int, run.stdout.split())
    assert 0.9 * whole <= peak <= whole + 2 * largest + 8e6


def test_load_pretrained_does_not_follow_an_index_out_of_its_folder(tmp_path):
    theirs("qwen3", "grouped", False).save_pretrained(tmp_path, max_shard_size="20KB")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../elsewhere.safetensors"}}))
    with pytest.raises(ArchError, match="outside its folder"):
        load_pretrained(tmp_path)


def test_load_pretrained_lists_every_wrong_tensor(tmp_path):
    save_pretrained(qwen3_decoder(97, 12, 1, 3).build(), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.norm.weight"], tensors["model.layers.0.self_attn.q_norm.weight"]
    tensors["model.embed_tokens.weight"] = torch.zeros(96, 12)
    tensors["model.layers.7.odd"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ArchError) as caught:
        load_pretrained(tmp_path)
    for part in (
        "missing model.norm.weight (12,)",
        "missing model.layers.0.self_attn.q_norm.weight (4,)",
        "left over model.layers.7.odd (1,)",
        "model.embed_tokens.weight has shape (96, 12), config.json asks for (97, 12)",
    ):
        assert part in str(caught.value)


def test_load_pretrained_ignores_a_tied_head_and_old_rotary_frequencies(tmp_path):
    model = randomise(llama_decoder(97, 12, 1, 3, tied_embeddings=True).build())
    save_pretrained(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(2)
    save_file(tensors, tmp_path / "model.safetensors")
    assert torch.equal(load_pretrained(tmp_path)(TOKENS), model(TOKENS))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("kept", [0, 20, -3])
def test_load_pretrained_names_a_torn_file(file, kept, tmp_path):
    save_pretrained(qwen3_decoder(97, 12, 1, 3).build(), tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[:kept])
    with pytest.raises(ArchError, match=f"{file} is torn"):
        load_pretrained(tmp_path)


def test_load_pretrained_refuses_pickles_and_empty_folders(tmp_path):
    save_pretrained(qwen3_decoder(97, 12, 1, 3).build(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ArchError, match=r"only pickled weights \(pytorch_model\.bin\)"):
        load_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(ArchError, match="has neither"):
        load_pretrained(tmp_path)
    with pytest.raises(ArchError, match=r"config\.json is missing"):
        load_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "model_type='mamba' is not among the supported families: llama, qwen3"),
        ({"hidden_act": "tanhexp"}, "hidden_act='tanhexp'"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4}}, "rope_type='dynamic'"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, "'short_factor' is missing"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "'factor' is missing"),
        ({"layer_types": ["chunked_attention"]}, "chunked_attention"),
        ({"hidden_size": 13, "head_dim": None, "model_type": "qwen2"}, "num_attention_heads=3 does not divide"),
        ({"hidden_size": None}, "hidden_size=None"),
    ],
)
def test_read_spec_refuses_what_it_cannot_express(change, message, tmp_path):
    save_pretrained(qwen3_decoder(97, 12, 1, 3).build(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ArchError, match=message):
        read_spec(tmp_path)


def test_save_pretrained_refuses_what_no_family_expresses(tmp_path):
    spec = qwen3_decoder(97, 12, 2, 3)
    first, second = spec.layers
    for layers in ((first, replace(second, placement=PostNorm())), (replace(first, feed_forward=MLP(8)), second), ()):
        with pytest.raises(ArchError, match="no Hugging Face family expresses this specification"):
            save_pretrained(replace(spec, layers=layers).build(), tmp_path)
    with pytest.raises(ArchError, match="PostNorm"):
        save_pretrained(replace(spec, layers=(first, replace(second, placement=PostNorm()))).build(), tmp_path)
    with pytest.raises(ArchError, match="contradicts the specification: vocab_size=98"):
        save_pretrained(spec.build(), tmp_path, {"vocab_size": 98})
    assert list(tmp_path.iterdir()) == []
