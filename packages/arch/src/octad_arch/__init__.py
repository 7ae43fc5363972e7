"""Language-model architectures as values: compose the blocks, build the model, exchange weights with Hugging Face.

A model is a frozen dataclass, `Decoder`, holding a tuple of layers; a layer holds a mixer (`Attention`), a feed-forward
block (`SwiGLU`, `MLP`), a norm (`RMSNorm`, `LayerNorm`) and a placement (`PreNorm`, `PostNorm`, `SandwichNorm`). Values
are compared with ==, varied with `dataclasses.replace`, counted with `.cost(...)`, printed with `describe`, and
`Decoder.build` makes the `torch.nn.Module`. A variant is another value: to add a block, write a value with `build` and
`cost`; nothing here has to know of it.

    spec = qwen3_decoder(vocab_size=8192, d_model=256, num_layers=8, num_heads=8, num_kv_heads=2)
    model = spec.build(generator=torch.Generator().manual_seed(0))
    loss = linear_cross_entropy(model.hidden(tokens[:, :-1]), model.output_weight, tokens[:, 1:])
    save_pretrained(model, "folder")
"""

from .activation import (
    XIELU,
    Activation,
    Gating,
    LearnedActivation,
    LimitedGating,
    gelu,
    gelu_tanh,
    relu,
    relu_squared,
    sigmoid,
    silu,
    softmax,
    sqrt_softplus,
)
from .attention import AfterRotation, AllHeads, Attention, AttentionModule, ValueMix
from .bias import ALiBi, PositionBias, RelativeBias
from .cache import AttentionBias, AttentionCache, ListCache, StateCache
from .classic.encoder_heads import EncoderHead, HeadedEncoder, HeadedEncoderModel, PooledHead, TokenHead, WordHead
from .classic.objectives import Masked, SentencePair, Spans, corrupt_spans, mask_words, sentence_pair
from .context import Context
from .cost import Cost
from .cross_attention import CrossAttention, CrossAttentionModule
from .decoder import Decoder, DecoderModel
from .describe import describe
from .encoder import Encoder, EncoderModel
from .encoder_decoder import EncoderDecoder, EncoderDecoderModel
from .errors import ArchError
from .families.presets import bert_encoder, llama_decoder, ngpt_decoder, qwen3_decoder, transformer_2017
from .feed_forward import MLP, MLPModule, SwiGLU, SwiGLUModule
from .flex import flex_self_attention
from .hugging_face import load_encoder, load_encoder_decoder, load_pretrained, read_spec, save_pretrained
from .initialization import Initialization
from .layer import FeedForward, Layer, LayerModule, LayerSpec, Mixer, MixerLayer, MixerLayerModule, ParallelLayer
from .linear import ResidualOutput
from .logit_passes import replace_by_gradient
from .loss_head import linear_cross_entropy, token_log_probs
from .memory import Memory
from .mixing import mix
from .norm import DyT, LayerNorm, LayerNormModule, Norm, OffsetRMSNorm, RMSNorm, RMSNormModule
from .parts import PARTS, parts_of, replace_parts
from .past import DynamicCache
from .position import AbsolutePosition, LearnedPositions, SinusoidalPositions
from .residual import NoNorm, NormedStream, Placement, PostNorm, PreNorm, ReorderedNorm, Residual, SandwichNorm, Scaled
from .rope import RoPE, Rotation, Scaling, rope, rotate
from .stream import Stream
from .variants.compressed_attention import CompressedAttention, CompressedAttentionModule, EntryIndexer
from .variants.compressor import Compressor, CompressorModule
from .variants.copies import Copies, GatedCopies
from .variants.delta_net import GatedDeltaNet, GatedDeltaNetModule, KimiDeltaAttention, KimiDeltaAttentionModule
from .variants.dense_experts import DenseAndExperts, NormedMoE
from .variants.differential import DifferentialAttention
from .variants.hash_moe import HashMoE, HashMoEModule
from .variants.hyper_connections import HyperConnections, ManifoldHyperConnections, sinkhorn
from .variants.indexer import Indexer
from .variants.layer_inputs import InputLayer, LayerInputs
from .variants.lightning import LightningAttention, LightningAttentionModule
from .variants.linear_attention import delta_rule, delta_rule_recurrent, linear_attention, linear_attention_recurrent
from .variants.mamba2 import Mamba2, Mamba2Module
from .variants.mla import LatentAttention, LatentAttentionModule
from .variants.moe import (
    ClampedGating,
    MoE,
    MoEModule,
    Router,
    SigmoidRouter,
    SoftmaxRouter,
    load_balancing_loss,
    update_router_biases,
)
from .variants.multi_token import MultiToken, MultiTokenModel
from .variants.ngpt import SphereGLU, SphereStep, UnitNorm, normalise_weights
from .variants.parallel_heads import ParallelHeads, ParallelHeadsModel
from .variants.recurrence import ShortConvolution
from .variants.reinjection import Reinjected
from .variants.rope_scaling import LinearScaling, Llama3Scaling, LongRoPE, NTKScaling, TurnedShare, YaRN
from .variants.shared_kv import BorrowingAttention, LendingAttention
from .variants.value_residual import KeepValue, NormedValue, ValueEmbedding, ValueResidual

__all__ = [
    "MLP",
    "PARTS",
    "XIELU",
    "ALiBi",
    "AbsolutePosition",
    "Activation",
    "AfterRotation",
    "AllHeads",
    "ArchError",
    "Attention",
    "AttentionBias",
    "AttentionCache",
    "AttentionModule",
    "BorrowingAttention",
    "ClampedGating",
    "CompressedAttention",
    "CompressedAttentionModule",
    "Compressor",
    "CompressorModule",
    "Context",
    "Copies",
    "Cost",
    "CrossAttention",
    "CrossAttentionModule",
    "Decoder",
    "DecoderModel",
    "DenseAndExperts",
    "DifferentialAttention",
    "DyT",
    "DynamicCache",
    "Encoder",
    "EncoderDecoder",
    "EncoderDecoderModel",
    "EncoderHead",
    "EncoderModel",
    "EntryIndexer",
    "FeedForward",
    "GatedCopies",
    "GatedDeltaNet",
    "GatedDeltaNetModule",
    "Gating",
    "HashMoE",
    "HashMoEModule",
    "HeadedEncoder",
    "HeadedEncoderModel",
    "HyperConnections",
    "Indexer",
    "Initialization",
    "InputLayer",
    "KeepValue",
    "KimiDeltaAttention",
    "KimiDeltaAttentionModule",
    "LatentAttention",
    "LatentAttentionModule",
    "Layer",
    "LayerInputs",
    "LayerModule",
    "LayerNorm",
    "LayerNormModule",
    "LayerSpec",
    "LearnedActivation",
    "LearnedPositions",
    "LendingAttention",
    "LightningAttention",
    "LightningAttentionModule",
    "LimitedGating",
    "LinearScaling",
    "ListCache",
    "Llama3Scaling",
    "LongRoPE",
    "MLPModule",
    "Mamba2",
    "Mamba2Module",
    "ManifoldHyperConnections",
    "Masked",
    "Memory",
    "Mixer",
    "MixerLayer",
    "MixerLayerModule",
    "MoE",
    "MoEModule",
    "MultiToken",
    "MultiTokenModel",
    "NTKScaling",
    "NoNorm",
    "Norm",
    "NormedMoE",
    "NormedStream",
    "NormedValue",
    "OffsetRMSNorm",
    "ParallelHeads",
    "ParallelHeadsModel",
    "ParallelLayer",
    "Placement",
    "PooledHead",
    "PositionBias",
    "PostNorm",
    "PreNorm",
    "RMSNorm",
    "RMSNormModule",
    "Reinjected",
    "RelativeBias",
    "ReorderedNorm",
    "Residual",
    "ResidualOutput",
    "RoPE",
    "Rotation",
    "Router",
    "SandwichNorm",
    "Scaled",
    "Scaling",
    "SentencePair",
    "ShortConvolution",
    "SigmoidRouter",
    "SinusoidalPositions",
    "SoftmaxRouter",
    "Spans",
    "SphereGLU",
    "SphereStep",
    "StateCache",
    "Stream",
    "SwiGLU",
    "SwiGLUModule",
    "TokenHead",
    "TurnedShare",
    "UnitNorm",
    "ValueEmbedding",
    "ValueMix",
    "ValueResidual",
    "WordHead",
    "YaRN",
    "bert_encoder",
    "corrupt_spans",
    "delta_rule",
    "delta_rule_recurrent",
    "describe",
    "flex_self_attention",
    "gelu",
    "gelu_tanh",
    "linear_attention",
    "linear_attention_recurrent",
    "linear_cross_entropy",
    "llama_decoder",
    "load_balancing_loss",
    "load_encoder",
    "load_encoder_decoder",
    "load_pretrained",
    "mask_words",
    "mix",
    "ngpt_decoder",
    "normalise_weights",
    "parts_of",
    "qwen3_decoder",
    "read_spec",
    "relu",
    "relu_squared",
    "replace_by_gradient",
    "replace_parts",
    "rope",
    "rotate",
    "save_pretrained",
    "sentence_pair",
    "sigmoid",
    "silu",
    "sinkhorn",
    "softmax",
    "sqrt_softplus",
    "token_log_probs",
    "transformer_2017",
    "update_router_biases",
]
