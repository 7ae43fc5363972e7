"""GPT-2 and the families between it and Llama: LayerNorm with offsets, a plain or gated block, many positions."""

from collections.abc import Callable, Iterable

import torch

from ..attention import Attention
from ..checkpoint_map import Tensors, Weight, transposed
from ..decoder import Decoder
from ..feed_forward import MLP, SwiGLU
from ..layer import Layer, LayerSpec, ParallelLayer
from ..norm import LayerNorm
from ..position import LearnedPositions
from ..rope import RoPE
from .family import DecoderFamily
from .reading import Config, Entries, activation, activation_name, heads, needed, refuse, rotary, rotary_entries


def norm_of(key: str) -> Callable[[Entries], LayerNorm]:
    """The LayerNorm whose eps stands under that key."""
    return lambda config: LayerNorm(config.get(key, 1e-5))


def first_parts(spec: Decoder) -> tuple[Attention, MLP | SwiGLU] | None:
    """Mixer and feed-forward block of the first layer, where the model is of this kind."""
    mixer, feed_forward = (getattr(spec.layers[0], name, None) for name in ("mixer", "feed_forward"))
    if not isinstance(mixer, Attention) or not isinstance(feed_forward, MLP | SwiGLU):
        return None
    return (mixer, feed_forward) if isinstance(spec.norm, LayerNorm) else None


def eps_of(spec: Decoder) -> float:
    """That of the norm before the head."""
    assert isinstance(spec.norm, LayerNorm)
    return spec.norm.eps


def _by_head(theirs: str, ours: list[str], num_heads: int) -> Weight:
    """A fused q, k, v in which each head's three lie together: (heads, 3, d_head, ...)."""

    def read(tensors: Tensors) -> Tensors:
        fused = tensors[0].view(num_heads, 3, -1, *tensors[0].shape[1:])
        return tuple(part.flatten(0, 1) for part in fused.unbind(1))

    def write(tensors: Tensors) -> Tensors:
        return (torch.stack([part.view(num_heads, -1, *part.shape[1:]) for part in tensors], 1).flatten(0, 2),)

    return Weight((theirs,), tuple(ours), read, write)


def fused_by_head(theirs_name: str, ours_prefix: str) -> Callable[[Decoder, str, str], Iterable[Weight]]:
    """A fused q, k, v by head, where ours are the parts of that prefix."""

    def fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
        found = first_parts(spec)
        assert found is not None
        for kind in ("weight", "bias") if found[0].bias else ("weight",):
            parts = [f"{ours}.{ours_prefix}.{part}.{kind}" for part in ("query", "key", "value")]
            yield _by_head(f"{theirs}.{theirs_name}.{kind}", parts, found[0].num_heads)

    return fused


def _gpt2_layer(config: Entries, index: int) -> Layer:
    refuse(
        config,
        "gpt2",
        scale_attn_weights=(True,),
        scale_attn_by_inverse_layer_idx=(False,),
        add_cross_attention=(False,),
    )
    num_heads, _, d_head = heads(config)
    mixer = Attention(num_heads, num_heads, d_head, None, bias=True, output_bias=True)
    d_ff = config.get("n_inner") or 4 * needed(config, "hidden_size")
    feed_forward = MLP(d_ff, activation(config, "activation_function", "gelu_new"), bias=True)
    return Layer(mixer, feed_forward, norm_of("layer_norm_epsilon")(config))


def _gpt2_entries(spec: Decoder) -> Config | None:
    found = first_parts(spec)
    if found is None:
        return None
    act = activation_name(found[1].activation, "gelu_new")
    return {"n_inner": found[1].d_ff, "activation_function": act, "layer_norm_epsilon": eps_of(spec)}


def _gpt2_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    found = first_parts(spec)
    assert found is not None
    parts = [f"{ours}.mixer.block.{part}" for part in ("query", "key", "value")]
    yield Weight(
        (f"{theirs}.attn.c_attn.weight",),
        tuple(f"{part}.weight" for part in parts),
        lambda tensors: tuple(part.t() for part in tensors[0].chunk(3, 1)),
        lambda tensors: (torch.cat([part.t() for part in tensors], 1),),
    )
    yield Weight(
        (f"{theirs}.attn.c_attn.bias",),
        tuple(f"{part}.bias" for part in parts),
        lambda tensors: tensors[0].chunk(3),
        lambda tensors: (torch.cat(tensors),),
    )
    for inner, outer in (
        ("mixer.block.output", "attn.c_proj"),
        ("feed_forward.block.up", "mlp.c_fc"),
        ("feed_forward.block.down", "mlp.c_proj"),
    ):
        yield transposed(f"{theirs}.{outer}.weight", f"{ours}.{inner}.weight")


GPT2 = DecoderFamily(
    "gpt2",
    "GPT2LMHeadModel",
    _gpt2_layer,
    norm_of("layer_norm_epsilon"),
    _gpt2_entries,
    {
        "mixer.input_norm": "ln_1",
        "mixer.block.output": "attn.c_proj",
        "feed_forward.input_norm": "ln_2",
        "feed_forward.block.up": "mlp.c_fc",
        "feed_forward.block.down": "mlp.c_proj",
    },
    {
        "embedding": "transformer.wte",
        "position.table": "transformer.wpe",
        "norm": "transformer.ln_f",
        "head": "lm_head",
    },
    "transformer.h.{i}",
    lambda config: {"position": LearnedPositions(config.get("max_position_embeddings", 1024))},
    tied=True,
    fused=_gpt2_fused,
    aliases={
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    },
)


def _neox_layer(config: Entries, index: int) -> LayerSpec:
    num_heads, _, d_head = heads(config)
    bias = config.get("attention_bias", True)
    share = config.get("rotary_pct", 0.25)
    base = config.get("rotary_emb_base", 10_000.0)
    position = rotary(config, d_head, theta=base, turned=share)
    mixer = Attention(num_heads, num_heads, d_head, position, bias=bias, output_bias=bias)
    feed_forward = MLP(needed(config, "intermediate_size"), activation(config, default="gelu"), bias=True)
    norm = norm_of("layer_norm_eps")(config)
    if config.get("use_parallel_residual", True):
        return ParallelLayer(mixer, feed_forward, norm, shares_norm=False)
    return Layer(mixer, feed_forward, norm)


def rotary_mlp_entries(spec: Decoder, act_key: str, preferred: str) -> Config | None:
    """What the families with rotary positions and one plain or gated block share."""
    found = first_parts(spec)
    if found is None or not isinstance(found[0].position, RoPE):
        return None
    rope, act = rotary_entries(found[0].position, found[0].d_head), activation_name(found[1].activation, preferred)
    if rope is None or act is None:
        return None
    rope.setdefault("partial_rotary_factor", 1.0)  # some of these families turn fewer channels where nothing is said
    return {"intermediate_size": found[1].d_ff, act_key: act, "rope_parameters": rope}


def _neox_entries(spec: Decoder) -> Config | None:
    written, found = rotary_mlp_entries(spec, "hidden_act", "gelu"), first_parts(spec)
    if written is None or found is None:
        return None
    is_parallel = isinstance(spec.layers[0], ParallelLayer)
    more = {"layer_norm_eps": eps_of(spec), "use_parallel_residual": is_parallel, "attention_bias": found[0].bias}
    rope = {"rotary_pct": written["rope_parameters"].get("partial_rotary_factor", 1.0)}
    return written | more | rope


def _neox_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    prefix = "mixer" if isinstance(spec.layers[0], ParallelLayer) else "mixer.block"
    return fused_by_head("attention.query_key_value", prefix)(spec, ours, theirs)


GPT_NEOX = DecoderFamily(
    "gpt_neox",
    "GPTNeoXForCausalLM",
    _neox_layer,
    norm_of("layer_norm_eps"),
    _neox_entries,
    {
        "mixer_norm": "input_layernorm",
        "feed_forward_norm": "post_attention_layernorm",
        "mixer.output": "attention.dense",
        "feed_forward.up": "mlp.dense_h_to_4h",
        "feed_forward.down": "mlp.dense_4h_to_h",
        "mixer.input_norm": "input_layernorm",
        "feed_forward.input_norm": "post_attention_layernorm",
        "mixer.block.output": "attention.dense",
        "feed_forward.block.up": "mlp.dense_h_to_4h",
        "feed_forward.block.down": "mlp.dense_4h_to_h",
    },
    {
        "embedding": "gpt_neox.embed_in",
        "norm": "gpt_neox.final_layer_norm",
        "head": "embed_out",
    },
    "gpt_neox.layers.{i}",
    fused=_neox_fused,
)


def _gptj_layer(config: Entries, index: int) -> ParallelLayer:
    num_heads, _, d_head = heads(config)
    channels = config.get("rotary_dim") or d_head
    mixer = Attention(num_heads, num_heads, d_head, RoPE(channels=channels, neighbours=True))
    d_ff = config.get("n_inner") or 4 * needed(config, "hidden_size")
    function = activation(config, "activation_function", "gelu_new")
    return ParallelLayer(mixer, MLP(d_ff, function, bias=True), norm_of("layer_norm_epsilon")(config))


def _gptj_entries(spec: Decoder) -> Config | None:
    found = first_parts(spec)
    if found is None or not isinstance(found[0].position, RoPE):
        return None
    act = activation_name(found[1].activation, "gelu_new")
    written = {"n_inner": found[1].d_ff, "activation_function": act, "layer_norm_epsilon": eps_of(spec)}
    return written | {"rotary_dim": found[0].position.channels or found[0].d_head}


GPT_J = DecoderFamily(
    "gptj",
    "GPTJForCausalLM",
    _gptj_layer,
    norm_of("layer_norm_epsilon"),
    _gptj_entries,
    {
        "mixer_norm": "ln_1",
        "mixer.query": "attn.q_proj",
        "mixer.key": "attn.k_proj",
        "mixer.value": "attn.v_proj",
        "mixer.output": "attn.out_proj",
        "feed_forward.up": "mlp.fc_in",
        "feed_forward.down": "mlp.fc_out",
    },
    {
        "embedding": "transformer.wte",
        "norm": "transformer.ln_f",
        "head": "lm_head",
        "head_bias": "lm_head.bias",
    },
    "transformer.h.{i}",
    lambda config: {"head_bias": True},
    aliases=GPT2.aliases,
)
