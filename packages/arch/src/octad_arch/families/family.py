"""One family of decoders: how Hugging Face writes its config.json, and what it calls the weights."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..attention import Attention
from ..checkpoint_map import Weight, same
from ..decoder import Decoder
from ..initialization import Initialization
from ..layer import LayerSpec
from ..norm import Norm
from .reading import Config, Entries, needed


class Family(Protocol):
    """One `model_type` of Hugging Face."""

    @property
    def model_type(self) -> str:
        """Its name in config.json."""
        ...

    @property
    def prefix(self) -> str:
        """What the names of the bare model lack, where a file holds only that."""
        ...

    @property
    def spare(self) -> tuple[str, ...]:
        """Stored names that may be there without use, such as a second copy of tied weights."""
        ...

    def spec(self, config: Entries) -> Decoder:
        """The specification that a config.json describes; `ArchError` for what this package cannot express."""
        ...

    def config(self, spec: Decoder) -> Config | None:
        """The config.json nearest to a specification, or None; `find_family` checks that it fits."""
        ...

    def weights(self, spec: Decoder, parameters: Iterable[str]) -> tuple[Weight, ...]:
        """Which tensors of the file hold the model's parameters, of which the names are given."""
        ...


Fused = Callable[[Decoder, str, str], Iterable[Weight]]
"""(spec, our prefix of a layer, theirs) -> weights that are more than another name."""


@dataclass(frozen=True)
class DecoderFamily:
    """A family of which the layers are alike but for their number.

    Args:
        model_type: name in config.json.
        architecture: class that transformers builds.
        layer: (config, index) -> the layer.
        norm: config -> the norm before the head.
        entries: (spec) -> the entries of config.json beyond the common ones; None where it cannot be written.
        names: their module for each of ours within a layer, or their parameter for one that is named by itself.
        top: the same outside the layers.
        layers: their prefix of a layer, with {i} for its index.
        options: config -> further arguments of `Decoder`.
        tied: whether the head is the embedding where config.json is silent.
        fused: the weights of a layer that are more than another name.
        aliases: the common keys of config.json for this family's own.
        spare: stored names that may be there without use where the head is tied.
        mixer: kinds that the first layer's mixer may be of.
    """

    model_type: str
    architecture: str
    layer: Callable[[Entries, int], LayerSpec]
    norm: Callable[[Entries], Norm]
    entries: Callable[[Decoder], Config | None]
    names: Mapping[str, str]
    top: Mapping[str, str] = field(
        default_factory=lambda: {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
    )
    layers: str = "model.layers.{i}"
    options: Callable[[Entries], dict[str, Any]] = lambda config: {}
    tied: bool = False
    fused: Fused = lambda spec, ours, theirs: ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    spare: tuple[str, ...] = ("lm_head.weight", "embed_out.weight")
    mixer: type[Any] | tuple[type[Any], ...] = Attention

    @property
    def prefix(self) -> str:
        """The first part of the layers' names."""
        return self.layers.partition(".")[0] + "."

    def spec(self, config: Entries) -> Decoder:
        """The specification that a config.json describes."""
        config = dict(config) | {ours: config[theirs] for ours, theirs in self.aliases.items() if theirs in config}
        return Decoder(
            needed(config, "vocab_size"),
            needed(config, "hidden_size"),
            tuple(self.layer(config, index) for index in range(needed(config, "num_hidden_layers"))),
            self.norm(config),
            config.get("tie_word_embeddings", self.tied),
            Initialization(config.get("initializer_range", 0.02)),
            config.get("max_position_embeddings", 2048),
            **self.options(config),
        )

    def config(self, spec: Decoder) -> Config | None:
        """Read off the first layer and the head; the rest is checked by reading the result back."""
        mixer = getattr(spec.layers[0], "mixer", None) if spec.layers else None
        if not isinstance(mixer, self.mixer):
            return None
        entries = self.entries(spec)
        if entries is None:
            return None
        common: Config = {
            "vocab_size": spec.vocab_size,
            "hidden_size": spec.d_model,
            "num_hidden_layers": len(spec.layers),
            "num_attention_heads": mixer.num_heads,
            "max_position_embeddings": spec.context_length,
            "initializer_range": spec.initialization.std,
            "tie_word_embeddings": spec.tied_embeddings,
        }
        written = {self.aliases.get(key, key): value for key, value in (common | entries).items()}
        return {"architectures": [self.architecture], "model_type": self.model_type, "use_cache": True} | written

    def weights(self, spec: Decoder, parameters: Iterable[str]) -> tuple[Weight, ...]:
        """The fused weights of each layer, and another name for all other parameters."""
        found: list[Weight] = []
        for index in range(len(spec.layers)):
            found += self.fused(spec, f"layers.{index}", self.layers.format(i=index))
        taken = {name for weight in found for name in weight.ours}
        for name in parameters:
            if name not in taken:
                found.append(same(self._theirs(name), name))
        return tuple(found)

    def _theirs(self, name: str) -> str:
        """Of a parameter that is named by itself, or by its module."""
        module, _, kind = name.rpartition(".")
        if name in self.top:  # head_bias
            return self.top[name]
        if module in self.top:
            return f"{self.top[module]}.{kind}"
        _, index, inner = name.split(".", 2)
        if inner in self.names:
            return f"{self.layers.format(i=index)}.{self.names[inner]}"
        return f"{self.layers.format(i=index)}.{self.names[inner.rpartition('.')[0]]}.{kind}"
