"""Hunyuan V1, dense and with experts: the norms of the heads come after the rotation."""

from dataclasses import replace

from ..attention import AfterRotation, Attention
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer, LayerSpec
from ..norm import RMSNorm
from ..rope import RoPE
from ..variants.moe import MoE, SoftmaxRouter
from ..variants.rope_scaling import NTKScaling
from .family import DecoderFamily
from .llama import NAMES, entries, layer
from .moe import BY_NAME, MOE_NAMES, moe_entries
from .reading import Config, Entries, activation, needed, rope_parameters, rotary

_HEAD_NORMS = {
    "mixer.block.query_norm": "self_attn.query_layernorm",
    "mixer.block.key_norm": "self_attn.key_layernorm",
}


def _norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-5))


def _position(config: Entries, d_head: int) -> RoPE:
    """What checkpoints call "dynamic" with an `alpha` is a fixed stretch of theta."""
    parameters = dict(rope_parameters(config))
    alpha = parameters.get("alpha")
    if parameters.get("rope_type", parameters.get("type")) == "dynamic" and alpha:
        plain = rotary(dict(config) | {"rope_parameters": parameters | {"rope_type": "default"}}, d_head)
        return replace(plain, scaling=NTKScaling(float(alpha)))
    return rotary(config, d_head)


def _layer(config: Entries, index: int) -> Layer:
    plain = layer({"rms_norm_eps": 1e-5} | dict(config) | {"mlp_bias": False, "rope_parameters": None}, index)
    assert isinstance(plain.mixer, Attention)
    position = _position(config, plain.mixer.d_head)
    return replace(plain, mixer=replace(plain.mixer, position=position, qk_norm=AfterRotation(_norm(config))))


def _stretched(written: Config | None, spec: Decoder, plain: Decoder) -> Config | None:
    """The entries of a model without its stretch, and the stretch."""
    mixer = getattr(spec.layers[0], "mixer", None)
    scaling = mixer.position.scaling if isinstance(mixer, Attention) and isinstance(mixer.position, RoPE) else None
    if written is None or not isinstance(scaling, NTKScaling):
        return written
    stretch = {"rope_type": "dynamic", "alpha": scaling.factor, "factor": 1.0}
    return written | {"rope_parameters": written["rope_parameters"] | stretch}


def _plain(spec: Decoder) -> Decoder:
    """The same with rotary embeddings that are not stretched by theta."""
    return replace(spec, layers=tuple(_unstretched(each) for each in spec.layers))


def _unstretched(layer: LayerSpec) -> LayerSpec:
    position = getattr(getattr(layer, "mixer", None), "position", None)
    if not isinstance(layer, Layer) or not isinstance(layer.mixer, Attention) or not isinstance(position, RoPE):
        return layer
    scaling = None if isinstance(position.scaling, NTKScaling) else position.scaling
    return replace(layer, mixer=replace(layer.mixer, position=replace(position, scaling=scaling)))


def _entries(spec: Decoder) -> Config | None:
    plain = _plain(spec)
    written = _stretched(entries(plain), spec, plain)
    return None if written is None else written | {"pad_token_id": None}


HUNYUAN = DecoderFamily("hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", _layer, _norm, _entries, NAMES | _HEAD_NORMS)


def _moe_layer(config: Entries, index: int) -> Layer:
    plain, function, width = _layer(config, index), activation(config), needed(config, "intermediate_size")
    router = SoftmaxRouter(needed(config, "moe_topk"))
    sparse = MoE(needed(config, "num_experts"), width, router, function, SwiGLU(width, activation=function))
    return replace(plain, feed_forward=sparse)


def _moe_entries(spec: Decoder) -> Config | None:
    plain = _plain(spec)
    written = _stretched(moe_entries(plain), spec, plain)
    sparse = getattr(spec.layers[0], "feed_forward", None)
    if written is None or not isinstance(sparse, MoE):
        return None
    sizes = {"num_experts": sparse.num_experts, "moe_topk": sparse.router.top_k, "intermediate_size": sparse.d_ff}
    return written | sizes | {"pad_token_id": None}


HUNYUAN_MOE = DecoderFamily(
    "hunyuan_v1_moe",
    "HunYuanMoEV1ForCausalLM",
    _moe_layer,
    _norm,
    _moe_entries,
    MOE_NAMES
    | _HEAD_NORMS
    | {
        "feed_forward.block.router": "mlp.gate.wg",
        "feed_forward.block.shared.gate": "mlp.shared_mlp.gate_proj",
        "feed_forward.block.shared.up": "mlp.shared_mlp.up_proj",
        "feed_forward.block.shared.down": "mlp.shared_mlp.down_proj",
    },
    fused=BY_NAME,
)
