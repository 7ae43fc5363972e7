"""The families of models that checkpoints are exchanged with: their config.json and their names for the weights."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from ..classic.encoder_heads import HeadedEncoder
from ..decoder import Decoder
from ..encoder_decoder import EncoderDecoder
from ..errors import ArchError
from .bert import BERT, MODERNBERT, ROBERTA
from .cohere import COHERE, COHERE2
from .deepseek import DEEPSEEK_V2, DEEPSEEK_V3, DEEPSEEK_V32, GLM4_MOE_LITE, KIMI_K2
from .deepseek_v4 import DEEPSEEK_V4
from .diffllama import DIFFLLAMA
from .ernie import ERNIE4_5, ERNIE4_5_MOE
from .falcon import FALCON
from .family import DecoderFamily, Family
from .gemma import GEMMA, GEMMA2, GEMMA3
from .gemma4 import GEMMA4
from .glm import GLM, GLM4
from .gpt import GPT2, GPT_J, GPT_NEOX
from .gpt_bigcode import GPT_BIGCODE
from .gpt_early import CODEGEN, GPT_NEO, MPT, PERSIMMON
from .gpt_kin import BLOOM, OPT, PHI, STABLELM, STARCODER2
from .gpt_oss import GPT_OSS, MINIMAX_M2
from .hunyuan import HUNYUAN, HUNYUAN_MOE
from .hybrids import OLMO_HYBRID, QWEN3_5, QWEN3_5_MOE, QWEN3_NEXT
from .kimi import KIMI_LINEAR
from .llama import ARCEE, GRANITE, HELIUM, LLAMA, MISTRAL, OLMO2, PHI3, QWEN2, QWEN3, SMOLLM3
from .llama_kin import MINISTRAL, NANOCHAT, OLMO3, SEED_OSS
from .mamba import MAMBA2
from .mapped import AnyMapped, MappedFamily
from .minimax import MINIMAX
from .moe import GLM4_MOE, MIXTRAL, OLMOE, QWEN2_MOE, QWEN3_MOE
from .normed_heads import APERTUS, DOTS1, EXAONE4
from .reading import Config
from .seq2seq import BART, T5

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
    MINIMAX_M2,
    QWEN3_NEXT,
    QWEN3_5,
    QWEN3_5_MOE,
    OLMO_HYBRID,
    KIMI_LINEAR,
    MAMBA2,
    GEMMA4,
    EXAONE4,
    APERTUS,
    DOTS1,
    GPT_NEO,
    CODEGEN,
    MPT,
    PERSIMMON,
    GLM4_MOE_LITE,
    DIFFLLAMA,
    DEEPSEEK_V4,
    MINIMAX,
    ERNIE4_5,
    ERNIE4_5_MOE,
    HUNYUAN,
    HUNYUAN_MOE,
)
"""A new one joins as one more value; the first that expresses a specification writes it."""

ENCODERS: tuple[MappedFamily[HeadedEncoder], ...] = (BERT, ROBERTA, MODERNBERT)
SEQ2SEQ: tuple[MappedFamily[EncoderDecoder], ...] = (T5, BART)

Spec = Decoder | HeadedEncoder | EncoderDecoder
AnyFamily = Family | AnyMapped

__all__ = [
    "ENCODERS",
    "FAMILIES",
    "SEQ2SEQ",
    "AnyFamily",
    "Config",
    "DecoderFamily",
    "Family",
    "MappedFamily",
    "Spec",
    "family_named",
    "find_family",
]


def family_named(model_type: object) -> AnyFamily:
    """The family of that `model_type`.

    Raises:
        ArchError: there is none; the message lists those there are.
    """
    families: tuple[AnyFamily, ...] = (*FAMILIES, *ENCODERS, *SEQ2SEQ)
    for family in families:
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in families)
    raise ArchError(f"model_type={model_type!r} is not among the supported families: {known}")


def _candidates(spec: Spec) -> tuple[AnyFamily, ...]:
    match spec:
        case Decoder():
            return FAMILIES
        case HeadedEncoder():
            return ENCODERS
        case EncoderDecoder():
            return SEQ2SEQ


def find_family(spec: Spec, model_type: str | None = None) -> tuple[AnyFamily, Config]:
    """The family that expresses a specification, and its config.json: it reads back as the same value.

    Args:
        spec: the specification.
        model_type: the family to ask; None means the first that can. Some say the same in other words.

    Raises:
        ArchError: no family does; the message says what the nearest would have lost.
    """
    nearest, agreeing = "no family has layers of these kinds", -1
    for family in _candidates(spec) if model_type is None else (family_named(model_type),):
        config = family.config(spec) if family in _candidates(spec) else None  # type: ignore[arg-type]
        if config is None:
            continue
        try:
            read_back: Any = family.spec(config)
        except ArchError:  # its config.json cannot even be read back: other families come nearer
            continue
        if read_back == spec:
            return family, config
        if not isinstance(spec, Decoder):
            nearest = f"{family.model_type} would make it {_first_field(spec, read_back)}"
            continue
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


def _first_field(spec: Any, other: Any) -> str:
    """The innermost part in which two values differ, and what it is in both."""
    if is_dataclass(spec) and type(spec) is type(other):
        for part in fields(spec):
            ours, theirs = getattr(spec, part.name), getattr(other, part.name)
            if ours != theirs:
                inner = is_dataclass(ours) and type(ours) is type(theirs)
                return _first_field(ours, theirs) if inner else f"{part.name}={theirs}, which is {ours}"
    return f"{other}, which is {spec}"
