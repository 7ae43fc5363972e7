"""Reading and writing the entries of config.json that many families share."""

from collections.abc import Callable, Mapping
from typing import Any

from ..activation import Activation, LearnedActivation, gelu, gelu_tanh, relu, relu_squared, silu
from ..errors import ArchError, require
from ..rope import RoPE, Scaling
from ..variants.rope_scaling import LinearScaling, Llama3Scaling, LongRoPE, YaRN

Config = dict[str, Any]
Entries = Mapping[str, Any]

ACTIVATIONS: dict[str, Activation] = {
    "silu": silu,
    "swish": silu,
    "gelu": gelu,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_new": gelu_tanh,
    "relu": relu,
    "relu2": relu_squared,
}


def needed(config: Entries, key: str) -> int:
    """An entry that must be there, an integer."""
    value = config.get(key)
    if not isinstance(value, int):
        raise ArchError(f"config.json has {key}={value!r}; it must be an integer")
    return value


def refuse(config: Entries, model_type: str, **unlike: tuple[Any, ...]) -> None:
    """Raise one `ArchError` for all entries with values other than those that are expressed.

    Args:
        config: what config.json says.
        model_type: for the message.
        unlike: of each key the values that may stand there; a missing key is one of them.
    """
    found = [
        f"{key}={config[key]!r}" for key, allowed in unlike.items() if key in config and config[key] not in allowed
    ]
    if config.get("quantization_config") is not None:
        found.append("quantization_config")
    require(not found, f"config.json of {model_type} asks for what is not supported: {'; '.join(found)}")


def activation(config: Entries, key: str = "hidden_act", default: str = "silu") -> Activation:
    """The activation that an entry names."""
    name = config.get(key) or default
    if name not in ACTIVATIONS:
        raise ArchError(f"config.json has {key}={name!r}; supported are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def activation_name(function: Activation | LearnedActivation, preferred: str | None = None) -> str | None:
    """What config.json calls an activation; None where it has no name there."""
    if preferred is not None and ACTIVATIONS[preferred] is function:
        return preferred
    return next((name for name, known in ACTIVATIONS.items() if known is function), None)


def rope_parameters(config: Entries, kind: str | None = None) -> Entries:
    """What is said about rotary embeddings, for layers of one kind where kinds differ."""
    parameters: Entries = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return parameters.get(kind) or {} if kind is not None and isinstance(parameters.get(kind), Mapping) else parameters


def rotary(
    config: Entries,
    d_head: int,
    kind: str | None = None,
    theta: float = 10_000.0,
    turned: float = 1.0,
    neighbours: bool = False,
) -> RoPE:
    """The rotary embedding of a config.json, old or new in style."""
    parameters = rope_parameters(config, kind)
    base = parameters.get("rope_theta") or config.get("rope_theta") or theta
    share = parameters.get("partial_rotary_factor") or config.get("partial_rotary_factor") or turned
    channels = None if share == 1 else int(d_head * share)
    return RoPE(float(base), channels, _scaling(parameters, config), neighbours)


def rotary_entries(position: RoPE, d_head: int) -> Config | None:
    """The `rope_parameters` of a rotary embedding; None where they cannot say it."""
    entries: Config = {"rope_type": "default", "rope_theta": position.theta}
    if position.channels is not None:
        entries["partial_rotary_factor"] = position.channels / d_head
    match position.scaling:
        case None:
            return entries
        case LinearScaling(factor):
            return entries | {"rope_type": "linear", "factor": factor}
        case Llama3Scaling(factor, low, high, context):
            bounds = {"low_freq_factor": low, "high_freq_factor": high}
            return (
                entries
                | {"rope_type": "llama3", "factor": factor, "original_max_position_embeddings": context}
                | bounds
            )
        case YaRN(factor, context, fast, slow, attention, truncate):
            written = {"factor": factor, "original_max_position_embeddings": context, "truncate": truncate}
            written |= {"beta_fast": fast, "beta_slow": slow} | (
                {} if attention is None else {"attention_factor": attention}
            )
            return entries | {"rope_type": "yarn"} | written
        case LongRoPE(short, long, context, factor, attention):
            factors = {"short_factor": list(short), "long_factor": list(long), "factor": factor}
            sharper = {} if attention is None else {"attention_factor": attention}
            first = {"rope_type": "longrope", "original_max_position_embeddings": context}
            return entries | first | factors | sharper
    return None


def _scaling(parameters: Entries, config: Entries) -> Scaling | None:
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    context = parameters.get("original_max_position_embeddings") or config.get("max_position_embeddings") or 2048
    readers: dict[str, Callable[[], Scaling | None]] = {
        "default": lambda: None,
        "linear": lambda: LinearScaling(float(parameters["factor"])),
        "llama3": lambda: Llama3Scaling(
            float(parameters["factor"]),
            float(parameters["low_freq_factor"]),
            float(parameters["high_freq_factor"]),
            context,
        ),
        "yarn": lambda: YaRN(
            float(parameters["factor"]),
            context,
            float(parameters.get("beta_fast") or 32),
            float(parameters.get("beta_slow") or 1),
            parameters.get("attention_factor"),
            parameters.get("truncate", True),
        ),
        "longrope": lambda: LongRoPE(
            tuple(map(float, parameters["short_factor"])),
            tuple(map(float, parameters["long_factor"])),
            context,
            float(parameters.get("factor") or config["max_position_embeddings"] / context),
            parameters.get("attention_factor"),
        ),
    }
    if kind not in readers or parameters.get("mscale") or parameters.get("mscale_all_dim"):
        raise ArchError(f"config.json asks for rope_type={kind!r}, which is not supported: {dict(parameters)}")
    try:
        return readers[kind]()
    except (KeyError, TypeError, ValueError) as error:
        raise ArchError(
            f"config.json has rope_parameters={dict(parameters)}, where {error} is missing or wrong"
        ) from error


def heads(config: Entries, d_head: int | None = None) -> tuple[int, int, int]:
    """Query heads, key heads and the width of a head."""
    num_heads = needed(config, "num_attention_heads")
    d_model = needed(config, "hidden_size")
    width = config.get("head_dim") or d_head
    if width is None:
        require(d_model % num_heads == 0, f"num_attention_heads={num_heads} does not divide hidden_size={d_model}")
        width = d_model // num_heads
    return num_heads, config.get("num_key_value_heads") or num_heads, width


def layer_kind(config: Entries, index: int, default: str = "full_attention") -> str:
    """What `layer_types` says of a layer."""
    kinds = config.get("layer_types")
    kind = kinds[index] if kinds else default
    if kind not in ("full_attention", "sliding_attention"):
        raise ArchError(
            f"config.json has layer_types with {kind!r}; supported are full_attention and sliding_attention"
        )
    return str(kind)
