"""config.json of any decoder as a Hugging Face model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from transformers import PreTrainedConfig

from .decoder import Decoder
from .errors import require
from .serialization import from_json, to_json


class OctadConfig(PreTrainedConfig):  # type: ignore[misc]
    """config.json of any decoder: the specification as data (`serialization`), and the ids of special tokens.

    Args:
        spec: a `Decoder`, or the data of one. All that the config says of the architecture is read from it.
        pad_token_id: padding; None means that there is none.
        bos_token_id: begin of a text.
        eos_token_id: end of a text, or several.

    Raises:
        ArchError: no specification, or one that names unknown parts.
    """

    model_type: ClassVar[str] = "octad"
    auto_map: ClassVar[dict[str, str]] = {}
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    spec: Any = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.spec, Mapping):
            self.spec = from_json(self.spec)
        kind = type(self.spec).__name__
        require(isinstance(self.spec, Decoder), f"spec is a {kind}; an OctadConfig needs a Decoder or its JSON form")
        super().__post_init__(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        """All entries, ready for JSON."""
        entries: dict[str, Any] = super().to_dict()
        return entries | {"spec": to_json(self.spec)}

    @property
    def vocab_size(self) -> int:
        """Number of token ids; setting it changes the specification, as `resize_token_embeddings` does."""
        return int(self.spec.vocab_size)

    @vocab_size.setter
    def vocab_size(self, size: int) -> None:
        self.spec = replace(self.spec, vocab_size=size)

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return int(self.spec.d_model)

    @property
    def num_hidden_layers(self) -> int:
        """Number of layers."""
        return len(self.spec.layers)

    @property
    def max_position_embeddings(self) -> int:
        """The longest sequence the model is meant for."""
        return int(self.spec.context_length)

    @property
    def tie_word_embeddings(self) -> bool:
        """Whether the head reads the embedding's matrix."""
        return bool(self.spec.tied_embeddings)

    @property
    def final_logit_softcapping(self) -> float | None:
        """The soft cap of the logits: trainers that multiply hidden states by the head themselves read it here.

        The scale of the logits is not named likewise: hidden states come out scaled (`DecoderModel.hidden`).
        """
        cap: float | None = self.spec.logit_softcap
        return cap
