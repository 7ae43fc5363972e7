"""GPT-BigCode (StarCoder 1): GPT-2 with one key and value head, and plain matrices."""

from collections.abc import Iterable
from dataclasses import replace

from ..attention import Attention
from ..checkpoint_map import Weight, joined
from ..decoder import Decoder
from ..layer import Layer
from ..position import LearnedPositions
from .family import DecoderFamily
from .gpt import GPT2
from .reading import Config, Entries, refuse


def _mixer(plain: Layer) -> Attention:
    assert isinstance(plain.mixer, Attention)
    return plain.mixer


def _mixers(spec: Decoder) -> list[Attention]:
    found = [getattr(each, "mixer", None) for each in spec.layers]
    return [mixer for mixer in found if isinstance(mixer, Attention)]


def _bigcode_layer(config: Entries, index: int) -> Layer:
    refuse(config, "gpt_bigcode", multi_query=(True,), scale_attn_weights=(True,), add_cross_attention=(False,))
    plain = GPT2.layer({"activation_function": "gelu_pytorch_tanh"} | dict(config), index)
    assert isinstance(plain, Layer)
    return replace(plain, mixer=replace(_mixer(plain), num_kv_heads=1))


def _bigcode_entries(spec: Decoder) -> Config | None:
    written = GPT2.entries(spec)
    if written is None:
        return None
    name = "gelu_pytorch_tanh" if written["activation_function"] == "gelu_new" else written["activation_function"]
    return written | {"multi_query": True, "activation_function": name}


def _bigcode_fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    mixer = _mixers(spec)[0]
    sizes = (mixer.num_heads * mixer.d_head, mixer.d_head, mixer.d_head)
    for kind in ("weight", "bias"):
        parts = [f"{ours}.mixer.block.{part}.{kind}" for part in ("query", "key", "value")]
        yield joined(f"{theirs}.attn.c_attn.{kind}", parts, sizes)


GPT_BIGCODE = DecoderFamily(
    "gpt_bigcode",
    "GPTBigCodeForCausalLM",
    _bigcode_layer,
    GPT2.norm,
    _bigcode_entries,
    GPT2.names,
    GPT2.top,
    GPT2.layers,
    lambda config: {"position": LearnedPositions(config.get("max_position_embeddings", 1024))},
    tied=True,
    fused=_bigcode_fused,
    aliases=GPT2.aliases,
)
