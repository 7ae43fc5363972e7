"""GLM and GLM-4: neighbouring pairs in half of each head, offsets of q, k and v, one matrix for gate and up."""

from collections.abc import Iterable
from dataclasses import replace

from ..attention import Attention
from ..checkpoint_map import Weight, joined
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..residual import SandwichNorm
from .family import DecoderFamily
from .llama import NAMES, entries, layer
from .reading import Config, Entries, rotary


def _mixer(plain: Layer) -> Attention:
    assert isinstance(plain.mixer, Attention)
    return plain.mixer


def _glm_layer(config: Entries, index: int) -> Layer:
    plain = layer(dict(config) | {"mlp_bias": False, "head_dim": config.get("head_dim") or 128}, index)
    mixer = _mixer(plain)
    position = rotary(config, mixer.d_head, turned=0.5, neighbours=True)
    bias = config.get("attention_bias", True)
    return replace(plain, mixer=replace(mixer, position=position, bias=bias, output_bias=False))


def _glm4_layer(config: Entries, index: int) -> Layer:
    return replace(_glm_layer(config, index), placement=SandwichNorm())


def _glm_norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1.5625e-7))


def _glm_entries(spec: Decoder) -> Config | None:
    written = entries(spec)
    if written is None:
        return None
    written["rope_parameters"].setdefault("partial_rotary_factor", 1.0)
    return written | {
        "partial_rotary_factor": written["rope_parameters"]["partial_rotary_factor"],
        "pad_token_id": None,
    }


def _gate_up(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    block = getattr(spec.layers[0], "feed_forward", None)
    assert isinstance(block, SwiGLU)
    halves = [f"{ours}.feed_forward.block.{part}.weight" for part in ("gate", "up")]
    yield joined(f"{theirs}.mlp.gate_up_proj.weight", halves, (block.d_ff,) * 2)


GLM = DecoderFamily("glm", "GlmForCausalLM", _glm_layer, _glm_norm, _glm_entries, NAMES, fused=_gate_up)
GLM4 = DecoderFamily(
    "glm4",
    "Glm4ForCausalLM",
    _glm4_layer,
    _glm_norm,
    _glm_entries,
    NAMES
    | {
        "mixer.branch_norm": "post_self_attn_layernorm",
        "feed_forward.branch_norm": "post_mlp_layernorm",
    },
    fused=_gate_up,
)
