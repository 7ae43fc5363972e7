"""Every family against transformers: all parameters randomised, odd shapes, read, written and cached."""

import json
from copy import deepcopy

import pytest
import torch
from octad_arch import DynamicCache, load_pretrained, read_spec, save_pretrained
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS = torch.randint(5, 90, (2, 13), generator=torch.Generator().manual_seed(1))
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

COMMON = {"vocab_size": 97, "num_hidden_layers": 3, "max_position_embeddings": 77, "initializer_range": 0.02}
WIDE = COMMON | {"hidden_size": 42, "intermediate_size": 44, "num_attention_heads": 7, "num_key_value_heads": 1}
SQUARE = COMMON | {"hidden_size": 40, "intermediate_size": 44, "num_attention_heads": 4, "num_key_value_heads": 2}
ROPE = {"rope_type": "default", "rope_theta": 1234.0}
LLAMA3 = ROPE | {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 16}
YARN = ROPE | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA3_ROPES = {"full_attention": ROPE | {"rope_type": "linear", "factor": 2.0}, "sliding_attention": ROPE}

CASES = {
    "llama": ("llama", WIDE | {"head_dim": 24, "rope_parameters": ROPE, "rms_norm_eps": 1e-4}),
    "llama biased": ("llama", SQUARE | {"attention_bias": True, "mlp_bias": True, "rope_parameters": LLAMA3}),
    "llama yarn": ("llama", SQUARE | {"rope_parameters": YARN, "tie_word_embeddings": True}),
    "mistral": ("mistral", WIDE | {"head_dim": 10, "sliding_window": 5, "rope_parameters": ROPE}),
    "qwen2": ("qwen2", WIDE | {"rope_parameters": ROPE, "tie_word_embeddings": True}),
    "qwen2 windows": ("qwen2", SQUARE | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    "qwen3": ("qwen3", WIDE | {"head_dim": 96, "rope_parameters": ROPE, "attention_bias": True}),
    "smollm3": ("smollm3", SQUARE | {"no_rope_layers": [1, 0, 1], "pad_token_id": None, "rope_parameters": ROPE}),
    "granite": (
        "granite",
        SQUARE
        | {"attention_multiplier": 0.3, "residual_multiplier": 0.7, "embedding_multiplier": 3.0, "logits_scaling": 1.7},
    ),
    "olmo2": ("olmo2", SQUARE | {"rope_parameters": ROPE, "pad_token_id": None}),
    "arcee": ("arcee", SQUARE | {"rope_parameters": ROPE}),
    "helium": ("helium", SQUARE | {"head_dim": 10, "rope_parameters": ROPE}),
    "phi3": ("phi3", SQUARE | {"sliding_window": 6, "pad_token_id": None}),
    "phi3 partial": ("phi3", SQUARE | {"pad_token_id": None, "rope_parameters": ROPE | {"partial_rotary_factor": 0.4}}),
    "gemma": ("gemma", WIDE | {"head_dim": 24, "rope_parameters": ROPE}),
    "gemma2": ("gemma2", WIDE | {"head_dim": 24, "sliding_window": 4, "query_pre_attn_scalar": 20}),
    "gemma3": (
        "gemma3_text",
        SQUARE | {"head_dim": 24, "sliding_window": 4, "layer_types": MIXED, "rope_parameters": GEMMA3_ROPES},
    ),
    "cohere": ("cohere", SQUARE | {"logit_scale": 0.3, "pad_token_id": 0}),
    "cohere2": ("cohere2", SQUARE | {"logit_scale": 0.3, "sliding_window": 4, "layer_types": MIXED, "pad_token_id": 0}),
    "gpt2": ("gpt2", {"vocab_size": 97, "n_embd": 30, "n_layer": 2, "n_head": 3, "n_positions": 50}),
    "gpt2 narrow": ("gpt2", {"vocab_size": 97, "n_embd": 30, "n_layer": 1, "n_head": 5, "n_inner": 33}),
    "gpt_neox": ("gpt_neox", COMMON | {"hidden_size": 48, "intermediate_size": 44, "num_attention_heads": 3}),
    "gpt_neox in series": (
        "gpt_neox",
        COMMON | {"hidden_size": 48, "intermediate_size": 44, "num_attention_heads": 3, "use_parallel_residual": False},
    ),
    "gptj": ("gptj", {"vocab_size": 97, "n_embd": 48, "n_layer": 2, "n_head": 3, "n_positions": 50, "rotary_dim": 6}),
    "phi": ("phi", SQUARE | {"rope_parameters": ROPE | {"partial_rotary_factor": 0.4}}),
    "stablelm": ("stablelm", SQUARE | {"use_qkv_bias": True, "rope_parameters": ROPE | {"partial_rotary_factor": 0.4}}),
    "starcoder2": ("starcoder2", SQUARE | {"sliding_window": 5}),
    "opt": (
        "opt",
        {"vocab_size": 97, "hidden_size": 30, "num_hidden_layers": 2, "ffn_dim": 44, "num_attention_heads": 3}
        | {"max_position_embeddings": 50, "word_embed_proj_dim": 30},
    ),
    "glm": ("glm", SQUARE | {"head_dim": 12, "pad_token_id": None, "rms_norm_eps": 1e-5}),
    "glm4": ("glm4", SQUARE | {"head_dim": 12, "pad_token_id": None, "attention_bias": False}),
    "olmo3": (
        "olmo3",
        SQUARE
        | {"sliding_window": 4, "layer_types": MIXED, "pad_token_id": None}
        | {"rope_parameters": {"full_attention": YARN, "sliding_attention": ROPE}},
    ),
    "seed_oss": ("seed_oss", WIDE | {"head_dim": 12, "attention_out_bias": True, "pad_token_id": None}),
    "ministral": ("ministral", SQUARE | {"sliding_window": 4, "layer_types": MIXED, "head_dim": 14}),
    "nanochat": ("nanochat", SQUARE | {"attention_bias": True, "pad_token_id": None, "rope_parameters": ROPE}),
    "gpt_bigcode": ("gpt_bigcode", {"vocab_size": 97, "n_embd": 30, "n_layer": 2, "n_head": 3, "n_positions": 50}),
    "mixtral": ("mixtral", SQUARE | {"num_local_experts": 5, "sliding_window": 6, "rope_parameters": ROPE}),
    "olmoe": ("olmoe", SQUARE | {"num_experts": 5, "num_experts_per_tok": 2, "pad_token_id": None}),
    "qwen2_moe": (
        "qwen2_moe",
        SQUARE
        | {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 20, "norm_topk_prob": True}
        | {"shared_expert_intermediate_size": 28, "mlp_only_layers": [1]},
    ),
    "qwen3_moe": (
        "qwen3_moe",
        SQUARE | {"head_dim": 12, "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 20},
    ),
    "glm4_moe": (
        "glm4_moe",
        SQUARE
        | {"head_dim": 12, "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 20}
        | {"n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.7, "use_qk_norm": True, "attention_bias": True}
        | {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}, "n_shared_experts": 2},
    ),
    "bloom": ("bloom", {"vocab_size": 97, "hidden_size": 36, "n_layer": 2, "n_head": 6}),
}


def randomised(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def reference_of(case, **changes):
    model_type, entries = CASES[case]
    entries = deepcopy({"bos_token_id": 1, "eos_token_id": 2} | entries | changes)  # which transformers writes to
    config = AutoConfig.for_model(model_type, **entries)
    config._attn_implementation = "eager"
    return randomised(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize("case", CASES)
def test_family_equals_hugging_face_both_ways_and_cached(case, tmp_path):
    reference = reference_of(case)
    reference.save_pretrained(tmp_path / "theirs")
    model = load_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        expected, logits = reference(TOKENS).logits, model(TOKENS)
        torch.testing.assert_close(logits, expected, **TOLERANCE)

        cache, positions = DynamicCache(), torch.arange(TOKENS.shape[1]).expand_as(TOKENS)
        parts = [slice(0, 6), slice(6, 7), slice(7, 8), slice(8, 13)]
        cached = torch.cat([model(TOKENS[:, part], positions[:, part], cache) for part in parts], 1)
        torch.testing.assert_close(cached, logits, **TOLERANCE)

    save_pretrained(model, tmp_path / "ours", model_type=CASES[case][0])
    assert read_spec(tmp_path / "ours") == model.spec
    again, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    theirs, ours = (load_file(tmp_path / side / "model.safetensors") for side in ("theirs", "ours"))
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    rounding = 1e-6 if "experts" in str(ours.keys()) else 0  # theirs sums experts in an order that may change
    with torch.no_grad():
        torch.testing.assert_close(again(TOKENS).logits, expected, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("case", sorted(CASES.keys() - {"gptj", "phi"}))  # whose head has an offset and is never tied
def test_tied_and_untied_heads_equal_hugging_faces(case, tied, tmp_path):
    reference = reference_of(case, tie_word_embeddings=tied)
    reference.save_pretrained(tmp_path / "theirs")
    model = load_pretrained(tmp_path / "theirs")
    assert model.spec.tied_embeddings == tied
    save_pretrained(model, tmp_path / "ours", model_type=CASES[case][0])
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), reference(TOKENS).logits, **TOLERANCE)
        assert torch.equal(load_pretrained(tmp_path / "ours")(TOKENS), model(TOKENS))


@pytest.mark.parametrize("case", CASES)
def test_predicted_parameters_and_activations_are_those_built(case, tmp_path, kept_a_token):
    reference_of(case).save_pretrained(tmp_path)
    model = load_pretrained(tmp_path)
    assert model.spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    assert model.spec.cost(13).activation_elements == pytest.approx(kept_a_token(model, 13, 90), abs=1e-9)


def test_ragged_rows_in_a_cache_equal_each_row_alone(tmp_path):
    reference_of("gemma2").save_pretrained(tmp_path)
    model, cache = load_pretrained(tmp_path), DynamicCache()
    positions = torch.arange(13).repeat(2, 1)
    positions[1] -= 4  # four slots of padding on the left
    positions[positions < 0] = -1
    with torch.no_grad():
        parts = [model(TOKENS[:, part], positions[:, part], cache) for part in (slice(0, 7), slice(7, 13))]
        together = torch.cat(parts, 1)
        assert together.isfinite().all()
        torch.testing.assert_close(together[0], model(TOKENS[:1])[0], **TOLERANCE)
        torch.testing.assert_close(together[1, 4:], model(TOKENS[1:, 4:])[0], **TOLERANCE)


@pytest.mark.parametrize("scale", [1, 3])
def test_shards_are_written_and_read_by_both(scale, tmp_path):
    reference = reference_of("phi3")
    reference.save_pretrained(tmp_path / "theirs")
    model = load_pretrained(tmp_path / "theirs")
    save_pretrained(model, tmp_path / "ours", max_shard_bytes=20_000 * scale, model_type="phi3")
    files = sorted(file.name for file in (tmp_path / "ours").glob("*.safetensors"))
    assert len(files) > 1
    assert json.loads((tmp_path / "ours" / "model.safetensors.index.json").read_text())["metadata"]["total_size"] > 0
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager")
    with torch.no_grad():
        assert torch.equal(again(TOKENS).logits, reference(TOKENS).logits)
        assert torch.equal(load_pretrained(tmp_path / "ours")(TOKENS), model(TOKENS))
    save_pretrained(model, tmp_path / "ours", model_type="phi3")
    assert sorted(file.name for file in (tmp_path / "ours").iterdir()) == ["config.json", "model.safetensors"]
