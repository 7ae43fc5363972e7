"""DiffLlama: Llama with differential attention."""

from collections.abc import Iterable

from ..checkpoint_map import Weight, stacked
from ..decoder import Decoder
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..rope import RoPE
from ..variants.differential import DifferentialAttention
from .family import DecoderFamily
from .llama import NAMES
from .reading import Config, Entries, activation, activation_name, heads, needed, refuse, rotary, rotary_entries


def _norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-5))


def _layer(config: Entries, index: int) -> Layer:
    refuse(config, "diffllama", attention_dropout=(0, 0.0, None), lambda_std_dev=(0.1, None))
    num_heads, num_kv_heads, d_head = heads(config)
    bias, eps = config.get("attention_bias", False), _norm(config).eps
    mixer = DifferentialAttention(num_heads, num_kv_heads, d_head, rotary(config, d_head), bias, eps)
    return Layer(mixer, SwiGLU(needed(config, "intermediate_size"), activation=activation(config)), _norm(config))


def _entries(spec: Decoder) -> Config | None:
    first = spec.layers[0]
    if not (isinstance(first, Layer) and isinstance(first.mixer, DifferentialAttention)):
        return None
    mixer, feed_forward = first.mixer, first.feed_forward
    if not (isinstance(feed_forward, SwiGLU) and isinstance(mixer.position, RoPE) and isinstance(spec.norm, RMSNorm)):
        return None
    rope, act = rotary_entries(mixer.position, mixer.d_head), activation_name(feed_forward.activation, "silu")
    if rope is None or act is None:
        return None
    return {
        "intermediate_size": feed_forward.d_ff,
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.d_head,
        "hidden_act": act,
        "rms_norm_eps": spec.norm.eps,
        "rope_parameters": rope,
        "attention_bias": mixer.bias,
        "lambda_std_dev": 0.1,
    }


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    """The four vectors of λ, which are stored one by one."""
    names = [f"{theirs}.self_attn.lambda_{name}" for name in ("q1", "k1", "q2", "k2")]
    yield stacked(names, f"{ours}.mixer.block.lambdas")


DIFFLLAMA = DecoderFamily(
    "diffllama",
    "DiffLlamaForCausalLM",
    _layer,
    _norm,
    _entries,
    NAMES,
    fused=_fused,
    mixer=DifferentialAttention,
)
