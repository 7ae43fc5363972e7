"""BERT, RoBERTa and ModernBERT: encoders, with the heads that `architectures` names."""

from collections.abc import Callable, Iterable
from typing import Any

from ..activation import gelu
from ..attention import Attention
from ..checkpoint_map import Weight, joined
from ..classic.encoder_heads import EncoderHead, HeadedEncoder, PooledHead, TokenHead, WordHead
from ..encoder import Encoder
from ..errors import ArchError
from ..feed_forward import MLP, SwiGLU
from ..initialization import Initialization
from ..layer import Layer
from ..norm import LayerNorm
from ..position import LearnedPositions
from ..residual import NoNorm, PostNorm, PreNorm
from ..rope import RoPE
from .mapped import MappedFamily
from .reading import Config, Entries, activation, activation_name, needed, refuse, rotary, rotary_entries

Heads = tuple[tuple[str, EncoderHead], ...]


def _labels(config: Entries) -> int:
    names = config.get("id2label")
    return len(names) if names else int(config.get("num_labels", 2))


def _task(config: Entries, model: str) -> str:
    named: list[str] = config.get("architectures") or [f"{model}ForMaskedLM"]
    if not named[0].startswith(model):
        raise ArchError(f"config.json names the architecture {named[0]}, which is no {model}")
    return named[0].removeprefix(model)


def _heads(config: Entries, model: str, word: WordHead, pooled: Callable[[int], PooledHead]) -> Heads:
    task = _task(config, model)
    known: dict[str, Callable[[], Heads]] = {
        "ForMaskedLM": lambda: (("words", word),),
        "ForPreTraining": lambda: (("words", word), ("next", pooled(2))),
        "ForSequenceClassification": lambda: (("labels", pooled(_labels(config))),),
        "ForTokenClassification": lambda: (("tags", TokenHead(_labels(config))),),
        "ForQuestionAnswering": lambda: (("spans", TokenHead(2)),),
    }
    if task not in known:
        supported = ", ".join(model + name for name in known)
        raise ArchError(f"config.json names the architecture {model}{task}; supported are {supported}")
    return known[task]()


_TASKS = {
    ("words",): "ForMaskedLM",
    ("words", "next"): "ForPreTraining",
    ("labels",): "ForSequenceClassification",
    ("tags",): "ForTokenClassification",
    ("spans",): "ForQuestionAnswering",
}


def _architecture(spec: HeadedEncoder, model: str) -> Config | None:
    task = _TASKS.get(tuple(name for name, _ in spec.heads))
    if task is None:
        return None
    written: Config = {"architectures": [model + task]}
    for name, head in spec.heads:
        if name in ("labels", "tags") and isinstance(head, PooledHead | TokenHead):
            written["id2label"] = {str(index): f"LABEL_{index}" for index in range(head.num_labels)}
            written["label2id"] = {f"LABEL_{index}": index for index in range(head.num_labels)}
    return written


def _bert(config: Entries, model_type: str, offset: int, model: str) -> HeadedEncoder:
    refuse(
        config,
        model_type,
        position_embedding_type=("absolute", None),
        is_decoder=(False,),
        add_cross_attention=(False,),
        tie_word_embeddings=(True, None),
    )
    d_model, num_heads = needed(config, "hidden_size"), needed(config, "num_attention_heads")
    norm = LayerNorm(config.get("layer_norm_eps", 1e-12))
    function = activation(config, default="gelu")
    mixer = Attention(num_heads, num_heads, d_model // num_heads, None, bias=True, output_bias=True, is_causal=False)
    layer = Layer(mixer, MLP(needed(config, "intermediate_size"), function, bias=True), norm, PostNorm())
    length = config.get("max_position_embeddings", 512) - offset
    encoder = Encoder(
        needed(config, "vocab_size"),
        d_model,
        (layer,) * needed(config, "num_hidden_layers"),
        None,
        config.get("type_vocab_size", 2),
        Initialization(config.get("initializer_range", 0.02)),
        length,
        LearnedPositions(length, offset),
        embedding_norm=norm,
    )
    word = WordHead(function if model_type == "bert" else gelu, norm)
    return HeadedEncoder(encoder, _heads(config, model, word, PooledHead))


def _bert_config(spec: HeadedEncoder, model_type: str, offset: int, model: str) -> Config | None:
    body, written = spec.encoder, _architecture(spec, model)
    first = body.layers[0] if body.layers else None
    if written is None or not (isinstance(first, Layer) and isinstance(first.mixer, Attention)):
        return None
    act = activation_name(first.feed_forward.activation, "gelu") if isinstance(first.feed_forward, MLP) else None
    if act is None or not isinstance(body.embedding_norm, LayerNorm) or not isinstance(first.feed_forward, MLP):
        return None
    return written | {
        "model_type": model_type,
        "vocab_size": body.vocab_size,
        "hidden_size": body.d_model,
        "num_hidden_layers": len(body.layers),
        "num_attention_heads": first.mixer.num_heads,
        "intermediate_size": first.feed_forward.d_ff,
        "hidden_act": act,
        "layer_norm_eps": body.embedding_norm.eps,
        "max_position_embeddings": body.context_length + offset,
        "type_vocab_size": body.segments,
        "initializer_range": body.initialization.std,
        "tie_word_embeddings": True,
    }


def _body(prefix: str) -> dict[str, str]:
    layer = f"{prefix}.encoder.layer.{{i}}"
    return {
        "encoder.embedding": f"{prefix}.embeddings.word_embeddings",
        "encoder.position.table": f"{prefix}.embeddings.position_embeddings",
        "encoder.segment": f"{prefix}.embeddings.token_type_embeddings",
        "encoder.embedding_norm": f"{prefix}.embeddings.LayerNorm",
        "encoder.layers.{i}.mixer.block.query": f"{layer}.attention.self.query",
        "encoder.layers.{i}.mixer.block.key": f"{layer}.attention.self.key",
        "encoder.layers.{i}.mixer.block.value": f"{layer}.attention.self.value",
        "encoder.layers.{i}.mixer.block.output": f"{layer}.attention.output.dense",
        "encoder.layers.{i}.mixer.output_norm": f"{layer}.attention.output.LayerNorm",
        "encoder.layers.{i}.feed_forward.block.up": f"{layer}.intermediate.dense",
        "encoder.layers.{i}.feed_forward.block.down": f"{layer}.output.dense",
        "encoder.layers.{i}.feed_forward.output_norm": f"{layer}.output.LayerNorm",
    }


_SHORT_HEADS = {"heads.tags.labels": "classifier", "heads.spans.labels": "qa_outputs"}

BERT = MappedFamily[HeadedEncoder](
    "bert",
    "bert.",
    lambda config: _bert(config, "bert", 0, "Bert"),
    lambda spec: _bert_config(spec, "bert", 0, "Bert"),
    _body("bert")
    | _SHORT_HEADS
    | {
        "heads.words.transform": "cls.predictions.transform.dense",
        "heads.words.norm": "cls.predictions.transform.LayerNorm",
        "heads.words.word_bias": "cls.predictions.bias",
        "heads.next.hidden": "bert.pooler.dense",
        "heads.next.labels": "cls.seq_relationship",
        "heads.labels.hidden": "bert.pooler.dense",
        "heads.labels.labels": "classifier",
    },
    spare=(
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
        "bert.embeddings.position_ids",
        *(f"{name}.{kind}" for name in ("bert.pooler.dense", "cls.seq_relationship") for kind in ("weight", "bias")),
    ),
)

ROBERTA = MappedFamily[HeadedEncoder](
    "roberta",
    "roberta.",
    lambda config: _bert(config, "roberta", needed({"pad_token_id": 1} | dict(config), "pad_token_id") + 1, "Roberta"),
    lambda spec: _roberta_config(spec),
    _body("roberta")
    | _SHORT_HEADS
    | {
        "heads.words.transform": "lm_head.dense",
        "heads.words.norm": "lm_head.layer_norm",
        "heads.words.word_bias": "lm_head.bias",
        "heads.labels.hidden": "classifier.dense",
        "heads.labels.labels": "classifier.out_proj",
    },
    spare=("lm_head.decoder.weight", "lm_head.decoder.bias", "roberta.embeddings.position_ids"),
)


def _roberta_config(spec: HeadedEncoder) -> Config | None:
    position = spec.encoder.position
    if not isinstance(position, LearnedPositions) or position.offset < 1:
        return None
    written = _bert_config(spec, "roberta", position.offset, "Roberta")
    return None if written is None else written | {"pad_token_id": position.offset - 1}


def _kinds(config: Entries) -> list[str]:
    step = config.get("global_attn_every_n_layers", 3)
    usual = ["sliding_attention" if index % step else "full_attention" for index in range(10_000)]
    kinds: list[str] = config.get("layer_types") or usual
    return kinds[: needed(config, "num_hidden_layers")]


def _modern(config: Entries) -> HeadedEncoder:
    d_model, num_heads = needed(config, "hidden_size"), needed(config, "num_attention_heads")
    norm = LayerNorm(config.get("norm_eps", 1e-5), bias=config.get("norm_bias", False))
    bias = config.get("attention_bias", False)
    thetas = {
        "full_attention": config.get("global_rope_theta") or 160_000.0,
        "sliding_attention": config.get("local_rope_theta") or 10_000.0,
    }
    function = activation(config, "hidden_activation", "gelu")
    feed_forward = SwiGLU(needed(config, "intermediate_size"), config.get("mlp_bias", False), function)
    layers: list[Layer] = []
    for index, kind in enumerate(_kinds(config)):
        position = rotary(config, d_model // num_heads, kind, thetas[kind])
        window = config.get("local_attention", 128) // 2 + 1 if kind == "sliding_attention" else None
        mixer = Attention(num_heads, num_heads, d_model // num_heads, position, None, bias, bias, False, window)
        layers.append(Layer(mixer, feed_forward, norm, PreNorm(), mixer_placement=None if index else NoNorm()))
    encoder = Encoder(
        needed(config, "vocab_size"),
        d_model,
        tuple(layers),
        norm,
        0,
        Initialization(config.get("initializer_range", 0.02)),
        config.get("max_position_embeddings", 8192),
        embedding_norm=norm,
    )
    of_head, head_bias = activation(config, "classifier_activation", "gelu"), config.get("classifier_bias", False)
    tied = config.get("tie_word_embeddings", True)
    word = WordHead(of_head, norm, head_bias, config.get("decoder_bias", True), tied)
    takes_mean = config.get("classifier_pooling", "cls") == "mean"
    heads = _heads(config, "ModernBert", word, lambda labels: PooledHead(labels, of_head, norm, head_bias, takes_mean))
    if heads[0][0] in ("tags", "spans"):
        raise ArchError("ModernBERT's heads for tags and spans have a hidden map, which TokenHead has not")
    return HeadedEncoder(encoder, heads)


def _modern_config(spec: HeadedEncoder) -> Config | None:
    body, written = spec.encoder, _architecture(spec, "ModernBert")
    mixers = [layer.mixer for layer in body.layers if isinstance(layer, Layer)]
    block = body.layers[0].feed_forward if body.layers and isinstance(body.layers[0], Layer) else None
    if written is None or not isinstance(block, SwiGLU) or not isinstance(body.norm, LayerNorm):
        return None
    attentions = [mixer for mixer in mixers if isinstance(mixer, Attention)]
    if len(attentions) != len(body.layers):
        return None
    kinds = ["full_attention" if mixer.window is None else "sliding_attention" for mixer in attentions]
    ropes: dict[str, Any] = {}
    for kind, mixer in zip(kinds, attentions, strict=True):
        if isinstance(mixer.position, RoPE):
            ropes[kind] = rotary_entries(mixer.position, mixer.d_head)
    window = next((mixer.window for mixer in attentions if mixer.window is not None), 65)
    head = spec.heads[0][1]
    if not isinstance(head, WordHead | PooledHead):
        return None
    word = head if isinstance(head, WordHead) else WordHead()
    pooling = "mean" if isinstance(head, PooledHead) and head.takes_mean else "cls"
    return written | {
        "model_type": "modernbert",
        "vocab_size": body.vocab_size,
        "hidden_size": body.d_model,
        "num_hidden_layers": len(body.layers),
        "num_attention_heads": attentions[0].num_heads,
        "intermediate_size": block.d_ff,
        "hidden_activation": activation_name(block.activation, "gelu"),
        "norm_eps": body.norm.eps,
        "norm_bias": body.norm.bias,
        "attention_bias": attentions[0].bias,
        "mlp_bias": block.bias,
        "layer_types": kinds,
        "rope_parameters": ropes,
        "local_attention": 2 * (window - 1),
        "max_position_embeddings": body.context_length,
        "initializer_range": body.initialization.std,
        "classifier_activation": activation_name(head.activation, "gelu"),
        "classifier_bias": head.bias,
        "classifier_pooling": pooling,
        "decoder_bias": word.word_bias,
        "tie_word_embeddings": word.tied,
        # The default lies beyond a small vocabulary, and nothing here knows which token pads.
        "pad_token_id": None,
    }


def _modern_fused(spec: HeadedEncoder, parameters: Iterable[str]) -> Iterable[Weight]:
    biased = set(parameters)
    width = spec.encoder.d_model
    for index in range(len(spec.encoder.layers)):
        ours, theirs = f"encoder.layers.{index}", f"model.layers.{index}"
        for kind in ("weight", "bias"):
            if f"{ours}.mixer.block.query.{kind}" in biased:
                parts = [f"{ours}.mixer.block.{part}.{kind}" for part in ("query", "key", "value")]
                yield joined(f"{theirs}.attn.Wqkv.{kind}", parts, (width, width, width))
            if f"{ours}.feed_forward.block.gate.{kind}" in biased:
                layer = spec.encoder.layers[index]
                assert isinstance(layer, Layer) and isinstance(layer.feed_forward, SwiGLU)
                halves = [f"{ours}.feed_forward.block.{part}.{kind}" for part in ("gate", "up")]
                yield joined(f"{theirs}.mlp.Wi.{kind}", halves, (layer.feed_forward.d_ff,) * 2)


MODERNBERT = MappedFamily[HeadedEncoder](
    "modernbert",
    "model.",
    _modern,
    _modern_config,
    {
        "encoder.embedding": "model.embeddings.tok_embeddings",
        "encoder.embedding_norm": "model.embeddings.norm",
        "encoder.layers.{i}.mixer.input_norm": "model.layers.{i}.attn_norm",
        "encoder.layers.{i}.mixer.block.output": "model.layers.{i}.attn.Wo",
        "encoder.layers.{i}.feed_forward.input_norm": "model.layers.{i}.mlp_norm",
        "encoder.layers.{i}.feed_forward.block.down": "model.layers.{i}.mlp.Wo",
        "encoder.norm": "model.final_norm",
        "heads.words.transform": "head.dense",
        "heads.words.norm": "head.norm",
        "heads.words.words": "decoder",
        "heads.words.word_bias": "decoder.bias",
        "heads.labels.hidden": "head.dense",
        "heads.labels.norm": "head.norm",
        "heads.labels.labels": "classifier",
    },
    _modern_fused,
    ("decoder.weight",),
)
