"""Families beyond `test_families`: parameters and buffers randomised, read, written, cached, tied and untied."""

import json
import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from octad_arch import ArchError, DynamicCache, LongRoPE, RoPE, load_pretrained, read_spec, save_pretrained
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS = torch.randint(5, 90, (2, 13), generator=torch.Generator().manual_seed(1))
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

COMMON = {"vocab_size": 97, "num_hidden_layers": 3, "max_position_embeddings": 77, "initializer_range": 0.02}
SQUARE = COMMON | {"hidden_size": 40, "intermediate_size": 44, "num_attention_heads": 4, "num_key_value_heads": 4}
ROPE = {"rope_type": "default", "rope_theta": 1234.0}
YARN = ROPE | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LATENT = {"kv_lora_rank": 18, "q_lora_rank": 22, "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 14}
EXPERTS = {"n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 20, "n_shared_experts": 2}
DEEPSEEK = SQUARE | LATENT | EXPERTS | {"routed_scaling_factor": 1.7, "rms_norm_eps": 1e-4, "first_k_dense_replace": 1}
GROUPS = {"n_group": 4, "topk_group": 2}
MSCALE = YARN | {"mscale": 0.7, "mscale_all_dim": 1.3}
FALCON = COMMON | {"hidden_size": 60, "num_attention_heads": 6, "layer_norm_epsilon": 1e-4}
GPT_OSS = SQUARE | {"num_key_value_heads": 2, "head_dim": 12, "sliding_window": 4, "rms_norm_eps": 1e-4}
GPT_OSS |= {"num_local_experts": 5, "num_experts_per_tok": 2}
LONG = {"short_factor": [1.0, 1.1, 1.3, 1.4, 2.0], "long_factor": [1.0, 2.2, 3.3, 4.4, 7.5]}
LONG = {"rope_parameters": ROPE | LONG | {"rope_type": "longrope", "factor": 4.8125}}
LONG_PARTIAL = {"partial_rotary_factor": 0.6, "short_factor": [1.0, 1.5, 2], "long_factor": [2.5, 3, 4.0]}
LONG_PARTIAL |= {"attention_factor": 1.2}

MIXED = {"layer_types": ["linear_attention", "full_attention", "linear_attention"], "pad_token_id": None}
DELTA = {"linear_conv_kernel_dim": 3, "linear_key_head_dim": 6, "linear_value_head_dim": 5, "linear_num_key_heads": 2}
HYBRID = SQUARE | MIXED | DELTA | {"linear_num_value_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
SHARED = {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 20}
SHARED |= {"shared_expert_intermediate_size": 12}
KIMI = SQUARE | MIXED | LATENT | {"q_lora_rank": None, "linear_head_dim": 6, "linear_num_heads": 3}
KIMI |= {"num_local_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 20, "n_shared_experts": 2}
MAMBA = {"vocab_size": 97, "hidden_size": 24, "num_hidden_layers": 2, "num_heads": 6, "head_dim": 8, "state_size": 5}
MAMBA |= {"pad_token_id": None}

OSS = SQUARE | {"num_local_experts": 5, "num_experts_per_tok": 2, "head_dim": 12, "num_key_value_heads": 2}
GEMMA4 = SQUARE | {"num_hidden_layers": 6, "num_key_value_heads": 2, "head_dim": 10, "global_head_dim": 16}
GEMMA4 |= {"sliding_window": 4, "vocab_size_per_layer_input": 97, "hidden_size_per_layer_input": 0, "pad_token_id": 0}
GEMMA4 |= {"layer_types": (["sliding_attention"] + ["full_attention", "sliding_attention"] * 3)[:6]}
WINDOWS = SQUARE | {"num_key_value_heads": 2, "sliding_window": 4, "pad_token_id": None}
WINDOWS |= {"layer_types": ["full_attention", "sliding_attention", "full_attention"]}

KINDS = ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"]
V4 = SQUARE | EXPERTS | {"layer_types": KINDS, "n_shared_experts": 1, "num_key_value_heads": 1, "head_dim": 16}
V4 |= {"compress_rates": {KINDS[1]: 2, KINDS[2]: 3}, "mlp_layer_types": ["hash_moe", "moe", "hash_moe"]}
V4 |= {"sliding_window": 4, "o_groups": 2, "o_lora_rank": 6, "partial_rotary_factor": 0.5, "q_lora_rank": 22}
V4 |= {"index_n_heads": 11, "index_head_dim": 10, "index_topk": 3, "hc_mult": 3, "rms_norm_eps": 1e-4}
del V4["intermediate_size"]

LIGHTNING = SQUARE | {"layer_types": ["linear_attention", "full_attention", "linear_attention"], "head_dim": 12}
LIGHTNING |= {"num_local_experts": 5, "num_key_value_heads": 2, "rope_parameters": ROPE}
ERNIE = SQUARE | {"num_key_value_heads": 2, "rope_parameters": ROPE, "pad_token_id": None}
HUNYUAN = SQUARE | {"num_key_value_heads": 1, "num_attention_heads": 7, "head_dim": 96, "rope_parameters": ROPE}
HUNYUAN |= {"pad_token_id": None, "hidden_size": 40}
ALPHA = {"rope_parameters": ROPE | {"rope_type": "dynamic", "alpha": 50.0, "factor": 1.0}}

CASES = {
    "minimax": ("minimax", LIGHTNING),
    "minimax factors": (
        "minimax",
        LIGHTNING
        | {"full_attn_alpha_factor": 1.3, "full_attn_beta_factor": 0.4, "linear_attn_alpha_factor": 0.7}
        | {"linear_attn_beta_factor": 1.9, "mlp_alpha_factor": 0.3, "mlp_beta_factor": 2.1, "sliding_window": 4}
        | {"head_dim": 96, "num_attention_heads": 7, "num_key_value_heads": 1, "num_experts_per_tok": 3},
    ),
    "ernie4_5": ("ernie4_5", ERNIE | {"head_dim": 12}),
    "ernie4_5 biased": ("ernie4_5", ERNIE | {"use_bias": True, "head_dim": 10}),
    "ernie4_5_moe": (
        "ernie4_5_moe",
        ERNIE | {"moe_num_experts": 6, "moe_k": 3, "moe_intermediate_size": 20},
    ),
    "ernie4_5_moe biased": (
        "ernie4_5_moe",
        ERNIE
        | {"moe_num_experts": 5, "moe_k": 2, "moe_intermediate_size": 20, "use_bias": True, "num_hidden_layers": 5}
        | {"moe_layer_interval": 2, "moe_layer_end_index": 3, "moe_num_shared_experts": 0},
    ),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", HUNYUAN | {"attention_bias": True}),
    "hunyuan_v1_dense stretched": ("hunyuan_v1_dense", HUNYUAN | ALPHA),
    "hunyuan_v1_moe": (
        "hunyuan_v1_moe",
        HUNYUAN | {"num_experts": 5, "moe_topk": 2, "head_dim": 12, "hidden_size": 40},
    ),
    "hunyuan_v1_moe stretched": (
        "hunyuan_v1_moe",
        HUNYUAN | ALPHA | {"num_experts": 4, "moe_topk": 3, "hidden_size": 40},
    ),
    "deepseek_v4": ("deepseek_v4", V4 | {"swiglu_limit": 0.4}),
    "deepseek_v4 stretched": (
        "deepseek_v4",
        V4
        | {"rope_parameters": YARN, "compress_rope_theta": 777.0, "scoring_func": "sigmoid", "head_dim": 96}
        | {"compress_rates": {KINDS[1]: 3, KINDS[2]: 5}, "index_topk": 1, "num_attention_heads": 7, "o_groups": 7}
        | {"index_head_dim": 14}
        | {"routed_scaling_factor": 0.7, "hc_eps": 1e-3, "hc_sinkhorn_iters": 3, "partial_rotary_factor": 0.125},
    ),
    "deepseek_v4 by default": ("deepseek_v4", {key: V4[key] for key in V4.keys() - {"layer_types", "mlp_layer_types"}}),
    "diffllama": (
        "diffllama",
        SQUARE | {"num_key_value_heads": 2, "head_dim": 12, "attention_bias": True, "rope_parameters": ROPE},
    ),
    "diffllama plain": ("diffllama", SQUARE | {"num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 8}),
    "gpt_oss": ("gpt_oss", OSS | {"sliding_window": 4}),
    "gpt_oss limits": (
        "gpt_oss",
        OSS | {"swiglu_limit": 0.3, "swiglu_alpha": 1.1, "attention_bias": False, "rope_parameters": YARN},
    ),
    "minimax_m2": ("minimax_m2", OSS | {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}),
    "qwen3_next": ("qwen3_next", HYBRID | SHARED | {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}),
    "qwen3_next dense": ("qwen3_next", HYBRID | SHARED | {"mlp_only_layers": [1], "attention_bias": True}),
    "qwen3_5": ("qwen3_5_text", HYBRID),
    "qwen3_5_moe": ("qwen3_5_moe_text", HYBRID | SHARED | {"norm_topk_prob": True}),
    "olmo_hybrid": (
        "olmo_hybrid",
        HYBRID | {"linear_num_key_heads": 4, "linear_key_head_dim": 5, "rope_parameters": ROPE},
    ),
    "olmo_hybrid without rope": (
        "olmo_hybrid",
        HYBRID | {"linear_num_key_heads": 4, "linear_key_head_dim": 5, "linear_allow_neg_eigval": False},
    ),
    "kimi_linear": ("kimi_linear", KIMI | {"n_group": 2, "topk_group": 1, "routed_scaling_factor": 1.3}),
    "kimi_linear queries": ("kimi_linear", KIMI | {"q_lora_rank": 22, "mlp_layer_types": ["sparse"] * 2 + ["dense"]}),
    "mamba2": ("mamba2", MAMBA | {"n_groups": 2}),
    "mamba2 biased": ("mamba2", MAMBA | {"n_groups": 1, "use_bias": True, "time_step_limit": (0.05, 0.9)}),
    "deepseek_v2": ("deepseek_v2", DEEPSEEK | {"rope_parameters": ROPE, "topk_method": "greedy"}),
    "deepseek_v2 groups": (
        "deepseek_v2",
        DEEPSEEK
        | GROUPS
        | {"topk_method": "group_limited_greedy", "q_lora_rank": None, "rope_parameters": MSCALE}
        | {"attention_bias": True},
    ),
    "deepseek_v3": ("deepseek_v3", DEEPSEEK | GROUPS | {"rope_parameters": MSCALE, "attention_bias": True}),
    "deepseek_v3 halves": (
        "deepseek_v3",
        DEEPSEEK
        | {"n_group": 1, "topk_group": 1, "rope_interleave": False, "q_lora_rank": None, "norm_topk_prob": False}
        | {"rope_parameters": YARN | {"mscale_all_dim": 0.9}},
    ),
    "deepseek_v32": (
        "deepseek_v32",
        DEEPSEEK
        | GROUPS
        | {"index_topk": 4, "index_head_dim": 10, "index_n_heads": 11, "rope_parameters": MSCALE}
        | {"mlp_layer_types": ["dense", "sparse", "sparse"]},
    ),
    "falcon 7b": ("falcon", FALCON | {"rope_parameters": ROPE}),
    "falcon 40b": (
        "falcon",
        FALCON | {"new_decoder_architecture": True, "num_kv_heads": 3, "bias": True, "ffn_hidden_size": 50},
    ),
    "falcon one norm": (
        "falcon",
        FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    ),
    "falcon in series": ("falcon", FALCON | {"parallel_attn": False, "multi_query": False, "bias": True}),
    "falcon alibi": (
        "falcon",
        FALCON | {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
    ),
    "gpt_oss without offsets of attention": (
        "gpt_oss",
        GPT_OSS
        | {"layer_types": ["full_attention", "sliding_attention", "full_attention"], "attention_bias": False}
        | {"swiglu_alpha": 1.1, "swiglu_limit": 0.6, "rope_parameters": ROPE},
    ),
    "gemma4 shared": (
        "gemma4_text",
        GEMMA4
        | {"num_kv_shared_layers": 3, "use_double_wide_mlp": True, "hidden_size_per_layer_input": 6}
        | {"final_logit_softcapping": 3.0, "vocab_size_per_layer_input": 93},
    ),
    "gemma4 keys as values": (
        "gemma4_text",
        GEMMA4 | {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "attention_bias": True},
    ),
    "gemma4 experts": (
        "gemma4_text",
        GEMMA4
        | {"enable_moe_block": True, "num_experts": 5, "top_k_experts": 2, "moe_intermediate_size": 12}
        | {"rope_parameters": {"full_attention": YARN, "sliding_attention": ROPE}},
    ),
    "glm4_moe_lite": (
        "glm4_moe_lite",
        DEEPSEEK | {"rope_parameters": ROPE, "mlp_layer_types": ["sparse", "dense", "sparse"], "n_group": 1},
    ),
    "exaone4": ("exaone4", WINDOWS | {"rope_parameters": ROPE}),
    "exaone4 everywhere": ("exaone4", WINDOWS | {"sliding_window": None, "layer_types": ["full_attention"] * 3}),
    "apertus": ("apertus", SQUARE | {"num_key_value_heads": 2, "rope_parameters": ROPE, "pad_token_id": None}),
    "dots1": (
        "dots1",
        WINDOWS | EXPERTS | GROUPS | {"first_k_dense_replace": 1, "routed_scaling_factor": 1.7, "attention_bias": True},
    ),
    "gpt_neo": (
        "gpt_neo",
        {"vocab_size": 97, "hidden_size": 30, "num_layers": 3, "num_heads": 3, "max_position_embeddings": 50}
        | {"attention_types": [[["global"], 1], [["local"], 2]], "window_size": 4},
    ),
    "codegen": (
        "codegen",
        {"vocab_size": 97, "n_embd": 64, "n_layer": 2, "n_head": 8, "n_positions": 50, "rotary_dim": 6},
    ),
    "mpt": ("mpt", {"vocab_size": 97, "d_model": 24, "n_layers": 2, "n_heads": 4, "max_seq_len": 50}),
    "mpt scaled": (
        "mpt",
        {"vocab_size": 97, "d_model": 24, "n_layers": 2, "n_heads": 2, "max_seq_len": 50}
        | {"attn_config": {"softmax_scale": 0.4}, "layer_norm_epsilon": 1e-4},
    ),
    "persimmon": (
        "persimmon",
        SQUARE | {"rope_parameters": ROPE | {"partial_rotary_factor": 0.4}, "layer_norm_eps": 1e-4},
    ),
    "persimmon plain": ("persimmon", SQUARE | {"qk_layernorm": False, "hidden_act": "gelu", "hidden_size": 32}),
    "phi3 longrope": ("phi3", SQUARE | {"pad_token_id": None, "original_max_position_embeddings": 16} | LONG),
    "phi3 longrope partial": (
        "phi3",
        SQUARE
        | {"pad_token_id": None, "original_max_position_embeddings": 16, "num_key_value_heads": 2}
        | {"rope_parameters": LONG["rope_parameters"] | LONG_PARTIAL},
    ),
}
# transformers' eager Falcon adds ALiBi twice, once with the mask; its other path and the first release do so once.
FUSED = {"falcon alibi"}
# transformers ties none of the first two, whatever the configuration says; the head of the last has an offset.
UNTIED = {"kimi_linear", "kimi_linear queries", "codegen"}


BUFFERS = ("e_score_correction_bias", "layer_scalar")


def randomised(model):
    generator = torch.Generator().manual_seed(3)
    buffers = [tensor for name, tensor in model.named_buffers() if name.endswith(BUFFERS)]
    with torch.no_grad():
        for tensor in [*model.parameters(), *buffers]:
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
        for name, table in model.named_buffers():
            if name.endswith("tid2eid"):  # experts of each token id, of which none comes twice
                drawn = torch.rand(len(table), 8, generator=generator).argsort(-1)
                table.copy_(drawn[:, : table.shape[1]])
    return model.eval()


def reference_of(case, **changes):
    model_type, entries = CASES[case]
    entries = deepcopy({"bos_token_id": 1, "eos_token_id": 2} | entries | changes)  # which transformers writes to
    config = AutoConfig.for_model(model_type, **entries)
    config._attn_implementation = "sdpa" if case in FUSED else "eager"
    return randomised(AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize("case", CASES)
def test_family_equals_hugging_face_both_ways_and_cached(case, tmp_path):
    reference = reference_of(case)
    reference.save_pretrained(tmp_path / "theirs")
    model = load_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        expected, logits = reference(TOKENS).logits, model(TOKENS)
        torch.testing.assert_close(logits, expected, **TOLERANCE)

        # Wide, since a state that is written step by step is rounded otherwise than one written in chunks.
        wide, cache = load_pretrained(tmp_path / "theirs", dtype=torch.float64), DynamicCache()
        positions = torch.arange(TOKENS.shape[1]).expand_as(TOKENS)
        parts = [slice(0, 6), slice(6, 7), slice(7, 8), slice(8, 13)]
        cached = torch.cat([wide(TOKENS[:, part], positions[:, part], cache) for part in parts], 1)
        torch.testing.assert_close(cached, wide(TOKENS), rtol=1e-8, atol=1e-8)

    save_pretrained(model, tmp_path / "ours", model_type=CASES[case][0])
    assert read_spec(tmp_path / "ours") == model.spec
    again, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation=reference.config._attn_implementation
    )
    assert not any(info.values()), info
    theirs, ours = (load_file(tmp_path / side / "model.safetensors") for side in ("theirs", "ours"))
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    rounding = 1e-6 if "experts" in str(ours.keys()) else 0  # theirs sums experts in an order that may change
    with torch.no_grad():
        torch.testing.assert_close(again(TOKENS).logits, expected, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("case", sorted(CASES.keys() - UNTIED))
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
def test_predicted_counts_are_those_built_and_rows_may_be_ragged(case, tmp_path, kept_a_token):
    reference_of(case).save_pretrained(tmp_path)
    model, cache = load_pretrained(tmp_path), DynamicCache()
    assert model.spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    assert model.spec.cost(13).activation_elements == pytest.approx(kept_a_token(model, 13, 90), abs=1e-9)
    positions = torch.arange(13).repeat(2, 1)
    positions[1] -= 4  # four slots of padding on the left
    positions[positions < 0] = -1
    with torch.no_grad():
        parts = [model(TOKENS[:, part], positions[:, part], cache) for part in (slice(0, 7), slice(7, 13))]
        together = torch.cat(parts, 1)
        assert together.isfinite().all()
        torch.testing.assert_close(together[0], model(TOKENS[:1])[0], **TOLERANCE)
        torch.testing.assert_close(together[1, 4:], model(TOKENS[1:, 4:])[0], **TOLERANCE)


def test_kimi_k2_is_deepseek_v3_by_another_name(tmp_path):
    reference = reference_of("deepseek_v3")
    reference.save_pretrained(tmp_path)
    entries = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(entries | {"model_type": "kimi_k2"}))
    model = load_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), reference(TOKENS).logits, **TOLERANCE)
    save_pretrained(model, tmp_path / "ours", model_type="kimi_k2")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["model_type"] == "kimi_k2"
    assert read_spec(tmp_path / "ours") == model.spec


@pytest.mark.parametrize("length", [8, 9, 13])
def test_longrope_turns_to_other_factors_in_long_rows(length, tmp_path):
    reference = reference_of("phi3 longrope", original_max_position_embeddings=8)
    reference.save_pretrained(tmp_path)
    model, positions = load_pretrained(tmp_path), torch.arange(13).repeat(2, 1)
    tokens = TOKENS[:, :length]
    with torch.no_grad():
        logits = model(tokens)
        torch.testing.assert_close(logits, reference(tokens).logits, **TOLERANCE)
        short = replace(model.spec.layers[0].mixer.position.scaling, long=(1.0, 1.1, 1.3, 1.4, 2.0))
        differs = not torch.allclose(model(TOKENS)[0], with_scaling(model, short)(TOKENS)[0])
        assert differs  # by the long factors alone
        cache, first = DynamicCache(), min(length, 9)
        parts = [model(tokens[:, :first], positions[:, :first], cache)]
        parts += [model(tokens[:, at : at + 1], positions[:, at : at + 1], cache) for at in range(first, length)]
        torch.testing.assert_close(torch.cat(parts, 1), logits, **TOLERANCE)
        cache = DynamicCache()
        model(TOKENS[:, :8], positions[:, :8], cache)
        with pytest.raises(ArchError, match="passes position 8"):
            model(TOKENS[:, 8:9], positions[:, 8:9], cache)


def with_scaling(model, scaling):
    layers = tuple(
        replace(each, mixer=replace(each.mixer, position=replace(each.mixer.position, scaling=scaling)))
        for each in model.spec.layers
    )
    other = replace(model.spec, layers=layers).build()
    other.load_state_dict(model.state_dict())
    return other


def test_longrope_rows_choose_for_themselves():
    scaling = LongRoPE((1.0, 1.0), (2.0, 4.0), 4, 2.0)
    positions = torch.tensor([[0, 1, 2, 3, -1], [0, 1, 2, 3, 4]])
    rotation = RoPE(100.0, scaling=scaling).rotation(positions, 4, torch.float32)
    plain = positions[..., None] * torch.tensor([1.0, 0.1])
    angles = torch.stack((plain[0], plain[1] / torch.tensor([2.0, 4.0])))
    factor = (1 + math.log(2) / math.log(4)) ** 0.5
    torch.testing.assert_close(rotation.cos, angles.cos() * factor)
    torch.testing.assert_close(rotation.sin, angles.sin() * factor)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("mpt", {"n_heads": 3}, "num_heads=3 of MPT must be a power of 2"),
        ("mpt", {"attn_config": {"clip_qkv": 6.0}}, "clip_qkv=6.0"),
        ("gpt_neo", {"attention_types": [[["global"], 2]]}, "attention_types for 2 layers, but num_layers=3"),
        ("gemma4 shared", {"use_bidirectional_attention": "all"}, "use_bidirectional_attention='all'"),
        ("deepseek_v2", {"topk_method": "noaux_tc"}, "topk_method='noaux_tc'"),
        ("deepseek_v3", {"num_key_value_heads": 2}, "num_key_value_heads=2; latent attention has 4"),
        (
            "phi3 longrope",
            {"rope_parameters": LONG["rope_parameters"] | {"long_factor": [1.0]}},
            "have 5 and 1 factors",
        ),
        ("falcon 7b", {"num_ln_in_parallel_attn": 2}, "two norms a layer without new_decoder_architecture"),
    ],
)
def test_families_refuse_what_they_cannot_express(case, change, message, tmp_path):
    reference_of(case).config.save_pretrained(tmp_path)
    entries = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(entries | change))
    with pytest.raises(ArchError, match=message):
        read_spec(tmp_path)
