"""The families of models that checkpoints are exchanged with: their config.json and their names for the weights."""

from dataclasses import replace

from ..decoder import Decoder
from ..errors import ArchError
from .cohere import COHERE, COHERE2
from .deepseek import DEEPSEEK_V2, DEEPSEEK_V3, DEEPSEEK_V32, KIMI_K2
from .falcon import FALCON
from .family import DecoderFamily, Family
from .gemma import GEMMA, GEMMA2, GEMMA3
from .glm import GLM, GLM4
from .gpt import GPT2, GPT_J, GPT_NEOX
from .gpt_bigcode import GPT_BIGCODE
from .gpt_kin import BLOOM, OPT, PHI, STABLELM, STARCODER2
from .gpt_oss import GPT_OSS
from .llama import ARCEE, GRANITE, HELIUM, LLAMA, MISTRAL, OLMO2, PHI3, QWEN2, QWEN3, SMOLLM3
from .llama_kin import MINISTRAL, NANOCHAT, OLMO3, SEED_OSS
from .moe import GLM4_MOE, MIXTRAL, OLMOE, QWEN2_MOE, QWEN3_MOE
from .reading import Config

FAMILIES: tuple[Family, ...] = (
    LLAMA,
    QWEN3,
    MISTRAL,
    QWEN2,
    SMOLLM3,
    GRANITE,
    OLMO2,
    ARCEE,
    HELIUM,
    PHI3,
    GEMMA,
    GEMMA2,
    GEMMA3,
    COHERE,
    COHERE2,
    GPT2,
    GPT_NEOX,
    GPT_J,
    PHI,
    STABLELM,
    STARCODER2,
    OPT,
    BLOOM,
    MIXTRAL,
    OLMOE,
    QWEN2_MOE,
    QWEN3_MOE,
    GLM4_MOE,
    GLM,
    GLM4,
    OLMO3,
    SEED_OSS,
    MINISTRAL,
    NANOCHAT,
    GPT_BIGCODE,
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    DEEPSEEK_V32,
    KIMI_K2,
    FALCON,
    GPT_OSS,
)
"""A new one joins as one more value; the first that expresses a specification writes it."""

__all__ = ["FAMILIES", "Config", "DecoderFamily", "Family", "family_named", "find_family"]


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


def find_family(spec: Decoder, model_type: str | None = None) -> tuple[Family, Config]:
    """The family that expresses a specification, and its config.json: it reads back as the same value.

    Args:
        spec: the specification.
        model_type: the family to ask; None means the first that can. Some say the same in other words.

    Raises:
        ArchError: no family does; the message says what the nearest would have lost.
    """
    nearest, agreeing = "no family has layers of these kinds", -1
    for family in FAMILIES if model_type is None else (family_named(model_type),):
        config = family.config(spec)
        if config is None:
            continue
        try:
            read_back = family.spec(config)
        except ArchError:  # its config.json cannot even be read back: other families come nearer
            continue
        if read_back == spec:
            return family, config
        same = sum(ours == theirs for ours, theirs in zip(spec.layers, read_back.layers, strict=False))
        if same > agreeing:
            nearest = f"{family.model_type} would make it {_first_difference(spec, read_back)}"
            agreeing = same
    raise ArchError(f"no Hugging Face family expresses this specification: {nearest}")


def _first_difference(spec: Decoder, other: Decoder) -> str:
    for index, (ours, theirs) in enumerate(zip(spec.layers, other.layers, strict=False)):
        if ours != theirs:
            return f"{theirs} at layer {index}, which is {ours}"
    return f"{replace(other, layers=())}, which is {replace(spec, layers=())}"
