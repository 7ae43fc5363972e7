"""EXAONE 4, Apertus and dots.llm1: Llama with normalised queries and keys, and one step more each."""

from collections.abc import Iterable
from dataclasses import replace

from ..activation import XIELU
from ..attention import Attention
from ..checkpoint_map import Tensors, Weight
from ..decoder import Decoder
from ..errors import require
from ..feed_forward import MLP
from ..layer import Layer
from ..norm import RMSNorm
from ..residual import ReorderedNorm
from ..rope import RoPE
from .family import DecoderFamily
from .llama import NAMES, entries, layer, norm
from .moe import BY_NAME, GLM4_MOE, MOE_NAMES
from .reading import Config, Entries, layer_kind, needed, refuse, rotary, rotary_entries


def _eps_norm(config: Entries) -> RMSNorm:
    return RMSNorm(config.get("rms_norm_eps", 1e-5))


def _mixer(plain: Layer) -> Attention:
    assert isinstance(plain.mixer, Attention)
    return plain.mixer


def _mixers(spec: Decoder) -> list[Attention]:
    found = [getattr(each, "mixer", None) for each in spec.layers]
    return [mixer for mixer in found if isinstance(mixer, Attention)]


def _kinds(mixers: list[Attention]) -> list[str]:
    return ["full_attention" if mixer.window is None else "sliding_attention" for mixer in mixers]


# EXAONE 4: OLMo 2's norms; where some layers have windows, those without have no positions.


def _exaone4_layer(config: Entries, index: int) -> Layer:
    window, pattern = config.get("sliding_window", 4096), config.get("sliding_window_pattern", 4)
    require(isinstance(pattern, int | None), f"config.json has sliding_window_pattern={pattern!r}; give layer_types")
    is_full = window is None or not pattern or (index + 1) % pattern == 0
    kind = layer_kind(config, index, "full_attention" if is_full else "sliding_attention")
    eps = {"rms_norm_eps": config.get("rms_norm_eps", 1e-5), "attention_bias": False, "mlp_bias": False}
    plain = layer(dict(config) | eps, index)
    mixer = replace(_mixer(plain), qk_norm=_eps_norm(config))
    if kind == "sliding_attention":
        mixer = replace(mixer, window=window)
    elif window is not None:
        mixer = replace(mixer, position=None)
    return replace(plain, mixer=mixer, placement=ReorderedNorm())


def _exaone4_entries(spec: Decoder) -> Config | None:
    mixers = _mixers(spec)
    turning = next((each for each in spec.layers if isinstance(getattr(each, "mixer", None), Attention)), None)
    for each, mixer in zip(spec.layers, mixers, strict=False):
        if isinstance(mixer.position, RoPE):
            turning = each
            break
    if turning is None or len(mixers) != len(spec.layers):
        return None
    written = entries(replace(spec, layers=(turning,)))
    windows = [mixer.window for mixer in mixers if mixer.window is not None]
    kinds = {"layer_types": _kinds(mixers), "sliding_window": windows[0] if windows else None}
    return None if written is None else written | kinds


_REORDERED = {"mixer.branch_norm": "post_attention_layernorm", "feed_forward.branch_norm": "post_feedforward_layernorm"}
EXAONE4 = DecoderFamily(
    "exaone4", "Exaone4ForCausalLM", _exaone4_layer, _eps_norm, _exaone4_entries, NAMES | _REORDERED
)

# Apertus: a block without a gate, and xIELU, which learns two numbers.

_LLAMA3 = {"rope_type": "llama3", "rope_theta": 12_000_000.0, "factor": 8.0, "original_max_position_embeddings": 8192}
_LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}


def _apertus_layer(config: Entries, index: int) -> Layer:
    refuse(config, "apertus", hidden_act=("xielu", None))
    given = {"rope_parameters": _LLAMA3} if config.get("rope_parameters") is None else {}
    eps = {"rms_norm_eps": config.get("rms_norm_eps", 1e-5), "hidden_act": "silu"}
    plain = layer(dict(config) | eps | given, index)
    mixer = replace(_mixer(plain), qk_norm=_eps_norm(config))
    return replace(plain, mixer=mixer, feed_forward=MLP(needed(config, "intermediate_size"), XIELU()))


def _apertus_entries(spec: Decoder) -> Config | None:
    mixer, block = (getattr(spec.layers[0], name, None) for name in ("mixer", "feed_forward"))
    if not (isinstance(mixer, Attention) and isinstance(mixer.position, RoPE) and isinstance(spec.norm, RMSNorm)):
        return None
    rope = rotary_entries(mixer.position, mixer.d_head)
    if rope is None or not isinstance(block, MLP) or not isinstance(block.activation, XIELU):
        return None
    return {
        "intermediate_size": block.d_ff,
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.d_head,
        "hidden_act": "xielu",
        "rms_norm_eps": spec.norm.eps,
        "rope_parameters": rope,
        "attention_bias": mixer.bias,
    }


def _apertus_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    """One number that xIELU learns, and beside it two constants that stand in the file too."""

    def write(tensors: Tensors) -> Tensors:
        return tensors[0], tensors[0].new_full((), XIELU().slope), tensors[0].new_full((), -1e-6)

    names = tuple(f"{theirs}.mlp.act_fn.{name}" for name in ("alpha_p", "beta", "eps"))
    yield Weight(names, (f"{ours}.feed_forward.block.activation.alpha_p",), lambda tensors: tensors[:1], write)


_APERTUS_NAMES = NAMES | {
    "mixer.input_norm": "attention_layernorm",
    "feed_forward.input_norm": "feedforward_layernorm",
    "feed_forward.block.activation": "mlp.act_fn",
}
APERTUS = DecoderFamily(
    "apertus",
    "ApertusForCausalLM",
    _apertus_layer,
    _eps_norm,
    _apertus_entries,
    _APERTUS_NAMES,
    fused=_apertus_fused,
)

# dots.llm1: the experts of DeepSeek-V3 behind plain attention, with windows in some layers.


def _dots1_layer(config: Entries, index: int) -> Layer:
    first = max(config.get("max_window_layers", 62), 0)
    kind = layer_kind(config, index, "sliding_attention" if index >= first else "full_attention")
    defaults = {"norm_topk_prob": False, "first_k_dense_replace": 0, "attention_bias": False}
    plain = GLM4_MOE.layer(defaults | dict(config) | {"use_qk_norm": True, "partial_rotary_factor": 1.0}, index)
    assert isinstance(plain, Layer)
    mixer = _mixer(plain)
    window = config.get("sliding_window", 4096) if kind == "sliding_attention" else None
    position = rotary(config, mixer.d_head)
    return replace(plain, mixer=replace(mixer, position=position, output_bias=mixer.bias, window=window))


def _dots1_entries(spec: Decoder) -> Config | None:
    written, mixers = GLM4_MOE.entries(spec), _mixers(spec)
    windows = [mixer.window for mixer in mixers if mixer.window is not None]
    if written is None or len(mixers) != len(spec.layers):
        return None
    del written["use_qk_norm"]
    return written | {"layer_types": _kinds(mixers), "sliding_window": windows[0] if windows else 4096}


DOTS1 = DecoderFamily("dots1", "Dots1ForCausalLM", _dots1_layer, norm, _dots1_entries, MOE_NAMES, fused=BY_NAME)
