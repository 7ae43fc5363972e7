"""How Hugging Face writes each family of models down: its config.json and its names for the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .attention import Attention
from .decoder import Decoder
from .errors import ArchError, require
from .feed_forward import SwiGLU
from .initialization import Initialization
from .layer import Layer
from .norm import RMSNorm
from .presets import head_size
from .rope import RoPE

Config = dict[str, Any]


class Family(Protocol):
    """One `model_type` of Hugging Face."""

    @property
    def model_type(self) -> str:
        """Its name in config.json."""
        ...

    def decoder(self, config: Mapping[str, Any]) -> Decoder:
        """The specification that a config.json describes; `ArchError` for what this package cannot express."""
        ...

    def config(self, spec: Decoder) -> Config | None:
        """The config.json nearest to a specification, or None; `find_family` checks that it fits."""
        ...

    def names(self, spec: Decoder) -> dict[str, str]:
        """Their name for each of our modules that has parameters."""
        ...


@dataclass(frozen=True)
class LlamaFamily:
    """Llama and its kin: one kind of layer with RMSNorm, rotary positions, grouped queries and SwiGLU.

    Args:
        model_type: name in config.json.
        architecture: class that transformers builds.
        qk_norm: queries and keys are normalised.
        default_head: width of a head where config.json is silent; None means hidden_size / num_attention_heads.
        needs_whole_heads: transformers refuses a hidden_size that num_attention_heads does not divide.
    """

    model_type: str
    architecture: str
    qk_norm: bool = False
    default_head: int | None = None
    needs_whole_heads: bool = False

    def decoder(self, config: Mapping[str, Any]) -> Decoder:
        """The specification that a config.json describes."""
        self._refuse_inexpressible(config)
        d_model, num_heads = _needed(config, "hidden_size"), _needed(config, "num_attention_heads")
        norm = RMSNorm(config.get("rms_norm_eps", 1e-6))
        d_head = config.get("head_dim") or self.default_head or head_size(d_model, num_heads)
        bias = config.get("attention_bias", False)
        mixer = Attention(
            num_heads,
            config.get("num_key_value_heads") or num_heads,
            d_head,
            RoPE(_theta(config)),
            norm if self.qk_norm else None,
            bias=bias,
            output_bias=bias,
        )
        layer = Layer(mixer, SwiGLU(_needed(config, "intermediate_size"), config.get("mlp_bias", False)), norm)
        return Decoder(
            _needed(config, "vocab_size"),
            d_model,
            (layer,) * _needed(config, "num_hidden_layers"),
            norm,
            config.get("tie_word_embeddings", False),
            Initialization(config.get("initializer_range", 0.02)),
            config.get("max_position_embeddings", 2048),
        )

    def config(self, spec: Decoder) -> Config | None:
        """Read off the first layer and the head; the rest is checked by reading the result back."""
        layer = spec.layers[0] if spec.layers else None
        if not (isinstance(layer, Layer) and isinstance(layer.mixer, Attention) and isinstance(spec.norm, RMSNorm)):
            return None
        mixer, feed_forward = layer.mixer, layer.feed_forward
        if not (isinstance(feed_forward, SwiGLU) and isinstance(mixer.position, RoPE)):
            return None
        if self.needs_whole_heads and spec.d_model % mixer.num_heads:
            return None
        config: Config = {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            "vocab_size": spec.vocab_size,
            "hidden_size": spec.d_model,
            "intermediate_size": feed_forward.d_ff,
            "num_hidden_layers": len(spec.layers),
            "num_attention_heads": mixer.num_heads,
            "num_key_value_heads": mixer.num_kv_heads,
            "head_dim": mixer.d_head,
            "hidden_act": "silu",
            "max_position_embeddings": spec.context_length,
            "initializer_range": spec.initialization.std,
            "rms_norm_eps": spec.norm.eps,
            "rope_theta": mixer.position.theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": mixer.position.theta},
            "tie_word_embeddings": spec.tied_embeddings,
            "attention_bias": mixer.bias,
            "use_cache": True,
        }
        return config | ({} if self.qk_norm else {"mlp_bias": feed_forward.bias})

    def names(self, spec: Decoder) -> dict[str, str]:
        """Their name for each of our modules that has parameters."""
        block = {
            "mixer.input_norm": "input_layernorm",
            "mixer.block.query": "self_attn.q_proj",
            "mixer.block.key": "self_attn.k_proj",
            "mixer.block.value": "self_attn.v_proj",
            "mixer.block.query_norm": "self_attn.q_norm",
            "mixer.block.key_norm": "self_attn.k_norm",
            "mixer.block.output": "self_attn.o_proj",
            "feed_forward.input_norm": "post_attention_layernorm",
            "feed_forward.block.gate": "mlp.gate_proj",
            "feed_forward.block.up": "mlp.up_proj",
            "feed_forward.block.down": "mlp.down_proj",
        }
        top = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
        layers = range(len(spec.layers))
        return top | {
            f"layers.{i}.{ours}": f"model.layers.{i}.{theirs}" for i in layers for ours, theirs in block.items()
        }

    def _refuse_inexpressible(self, config: Mapping[str, Any]) -> None:
        """Raise `ArchError` for every setting that would change the function and that no value here stands for."""
        rope_type = _rope_parameters(config).get("rope_type", _rope_parameters(config).get("type", "default"))
        layer_types = set(config.get("layer_types") or ()) - {"full_attention"}
        problems = {
            f"hidden_act={config.get('hidden_act')!r}, not 'silu'": config.get("hidden_act", "silu")
            not in ("silu", "swish"),
            f"rope_type={rope_type!r}, not 'default'": rope_type != "default",
            "use_sliding_window=true": bool(config.get("use_sliding_window", False)) and self.qk_norm,
            f"layer_types with {sorted(layer_types)}": bool(layer_types),
            "quantization_config": config.get("quantization_config") is not None,
        }
        found = [problem for problem, is_there in problems.items() if is_there]
        require(not found, f"config.json of {self.model_type} asks for what is not supported: {'; '.join(found)}")


FAMILIES: tuple[Family, ...] = (
    LlamaFamily("llama", "LlamaForCausalLM", needs_whole_heads=True),
    LlamaFamily("qwen3", "Qwen3ForCausalLM", qk_norm=True, default_head=128),
)
"""The families that checkpoints are exchanged with; a new one joins as one more value."""


def family_named(model_type: object) -> Family:
    """The family of that `model_type`.

    Raises:
        ArchError: there is none; the message lists those there are.
    """
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in FAMILIES)
    raise ArchError(f"model_type={model_type!r} is not among the supported families: {known}")


def find_family(spec: Decoder) -> tuple[Family, Config]:
    """The family that expresses a specification, and its config.json: it reads back as the same value.

    Raises:
        ArchError: no family does; the message says what the nearest would have lost.
    """
    nearest = "no family has layers of these kinds"
    for family in FAMILIES:
        config = family.config(spec)
        if config is None:
            continue
        read_back = family.decoder(config)
        if read_back == spec:
            return family, config
        nearest = f"{family.model_type} would make it {_first_difference(spec, read_back)}"
    raise ArchError(f"no Hugging Face family expresses this specification: {nearest}")


def _first_difference(spec: Decoder, other: Decoder) -> str:
    for index, (ours, theirs) in enumerate(zip(spec.layers, other.layers, strict=False)):
        if ours != theirs:
            return f"{theirs} at layer {index}, which is {ours}"
    return f"{replace(other, layers=())}, which is {replace(spec, layers=())}"


def _needed(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int):
        raise ArchError(f"config.json has {key}={value!r}; it must be an integer")
    return value


def _rope_parameters(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _theta(config: Mapping[str, Any]) -> float:
    return float(_rope_parameters(config).get("rope_theta") or config.get("rope_theta") or 10_000.0)
