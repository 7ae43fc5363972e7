"""Ernie 4.5, dense and with experts: neighbouring pairs turn, experts are chosen by probability plus a bias."""

from collections.abc import Iterable
from dataclasses import replace

from ..activation import softmax
from ..attention import Attention
from ..checkpoint_map import Weight
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..variants.moe import MoE, SigmoidRouter
from .family import DecoderFamily
from .llama import NAMES, entries, layer
from .moe import BY_NAME, MOE_NAMES, moe_entries
from .reading import Config, Entries, activation, needed, refuse, rotary


def _norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-5))


def _layer(config: Entries, index: int) -> Layer:
    bias, own = config.get("use_bias") or False, _norm(config)
    plain = layer(dict(config) | {"attention_bias": bias, "mlp_bias": bias}, index)
    assert isinstance(plain.mixer, Attention)
    position = rotary(config, plain.mixer.d_head, theta=500_000.0, neighbours=True)
    return replace(plain, mixer=replace(plain.mixer, position=position), norm=own)


def _entries(spec: Decoder) -> Config | None:
    written = entries(spec)
    return None if written is None else written | {"use_bias": written["attention_bias"], "pad_token_id": None}


ERNIE4_5 = DecoderFamily("ernie4_5", "Ernie4_5ForCausalLM", _layer, _norm, _entries, NAMES, tied=True)


def _moe_layer(config: Entries, index: int) -> Layer:
    refuse(config, "ernie4_5_moe", moe_norm_min=(1e-12, None))
    plain = _layer(config, index)
    start, end = config.get("moe_layer_start_index", 1), config.get("moe_layer_end_index", -1)
    end = needed(config, "num_hidden_layers") - 1 if end == -1 else end
    if not (start <= index <= end) or (index + 1) % config.get("moe_layer_interval", 1):
        return plain
    width, shared = needed(config, "moe_intermediate_size"), config.get("moe_num_shared_experts", 2)
    block = None
    if shared:
        block = SwiGLU(width * shared, config.get("use_bias") or False, activation(config))
    router = SigmoidRouter(config.get("moe_k", 6), score=softmax)
    experts = MoE(needed(config, "moe_num_experts"), width, router, activation(config), block)
    return replace(plain, feed_forward=experts)


def _moe_entries(spec: Decoder) -> Config | None:
    written = moe_entries(spec)
    blocks = [each.feed_forward for each in spec.layers if isinstance(each, Layer)]
    sparse = next((block for block in blocks if isinstance(block, MoE)), None)
    if written is None or sparse is None:
        return None
    places = [index for index, block in enumerate(blocks) if isinstance(block, MoE)]
    dense = next((block.d_ff for block in blocks if isinstance(block, SwiGLU)), 1)
    return written | {
        "use_bias": written["attention_bias"],
        "intermediate_size": dense,
        "moe_intermediate_size": sparse.d_ff,
        "moe_num_experts": sparse.num_experts,
        "moe_k": sparse.router.top_k,
        "moe_num_shared_experts": 0 if sparse.shared is None else sparse.shared.d_ff // sparse.d_ff,
        "moe_layer_start_index": places[0],
        "moe_layer_end_index": places[-1],
        "moe_layer_interval": places[1] - places[0] if len(places) > 1 else 1,
        "pad_token_id": None,
    }


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    for weight in BY_NAME(spec, ours, theirs):
        if weight.ours[0].endswith("router_bias"):  # with an axis in front, for groups of experts there is but one of
            name = f"{theirs}.mlp.moe_statics.e_score_correction_bias"
            yield Weight((name,), weight.ours, lambda t: (t[0].flatten(),), lambda t: (t[0][None],))
        else:
            yield weight


ERNIE4_5_MOE = DecoderFamily(
    "ernie4_5_moe",
    "Ernie4_5_MoeForCausalLM",
    _moe_layer,
    _norm,
    _moe_entries,
    MOE_NAMES,
    tied=True,
    fused=_fused,
    top={"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head", "head_bias": "lm_head.bias"},
    options=lambda config: {"head_bias": bool(config.get("use_bias"))},
)
