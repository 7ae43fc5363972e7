"""Mamba-2: no attention at all."""

from collections.abc import Iterable
from typing import Any

from ..checkpoint_map import Weight, same
from ..decoder import Decoder
from ..layer import MixerLayer
from ..norm import RMSNorm
from ..residual import PreNorm
from ..variants.mamba2 import Mamba2
from .family import DecoderFamily
from .reading import Config, Entries, needed, refuse


def _number(stored: Any) -> float:
    """A number of a config.json, where transformers writes an infinity as {"__float__": "Infinity"}."""
    return float(stored["__float__"] if isinstance(stored, dict) else stored)


def _stored_number(number: float) -> Any:
    return {"__float__": "Infinity"} if number == float("inf") else number


def _mamba_layer(config: Entries, index: int) -> MixerLayer:
    refuse(config, "mamba2", hidden_act=("silu",))
    low, high = (_number(bound) for bound in config.get("time_step_limit") or (0.0, float("inf")))
    mixer = Mamba2(
        needed(config, "num_heads"),
        needed(config, "head_dim"),
        needed(config, "state_size"),
        config.get("n_groups", 8),
        config.get("conv_kernel", 4),
        config.get("use_bias", False),
        config.get("use_conv_bias", True),
        config.get("layer_norm_epsilon", 1e-5),
        (low, high),
    )
    return MixerLayer(mixer, RMSNorm(mixer.eps), PreNorm())


def _mamba_entries(spec: Decoder) -> Config | None:
    mixer = getattr(spec.layers[0], "mixer", None)
    if not isinstance(mixer, Mamba2) or (mixer.num_heads * mixer.d_head) % spec.d_model:
        return None
    return {
        "num_heads": mixer.num_heads,
        "head_dim": mixer.d_head,
        "state_size": mixer.d_state,
        "n_groups": mixer.groups,
        "conv_kernel": mixer.width,
        "expand": mixer.num_heads * mixer.d_head // spec.d_model,
        "use_bias": mixer.bias,
        "use_conv_bias": mixer.convolution_bias,
        "layer_norm_epsilon": mixer.eps,
        "time_step_limit": [_stored_number(bound) for bound in mixer.steps],
        "hidden_act": "silu",
        "pad_token_id": None,
    }


def _mamba_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    names = {"A_log": "log_rate", "dt_bias": "step_bias", "D": "skip", "norm.weight": "norm_weight"}
    for name, part in names.items():
        yield same(f"{theirs}.mixer.{name}", f"{ours}.mixer.block.{part}")


MAMBA2 = DecoderFamily(
    "mamba2",
    "Mamba2ForCausalLM",
    _mamba_layer,
    lambda config: RMSNorm(config.get("layer_norm_epsilon", 1e-5)),
    _mamba_entries,
    {
        "mixer.input_norm": "norm",
        "mixer.block.input": "mixer.in_proj",
        "mixer.block.convolution": "mixer.conv1d",
        "mixer.block.output": "mixer.out_proj",
    },
    {"embedding": "backbone.embeddings", "norm": "backbone.norm_f", "head": "lm_head"},
    "backbone.layers.{i}",
    fused=_mamba_fused,
    mixer=Mamba2,
)
