"""A family of which every module has a name of its own: encoders, and encoders with decoders."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..checkpoint_map import Weight, same
from ..errors import ArchError
from .reading import Config, Entries

Spec = TypeVar("Spec")


@dataclass(frozen=True)
class MappedFamily(Generic[Spec]):
    """How Hugging Face writes such a model.

    Args:
        model_type: name in config.json.
        prefix: what the names of the bare model lack, where a file holds only that.
        spec: config.json -> specification.
        config: specification -> config.json, or None; `find_family` checks that it fits.
        names: their module for each of ours, or their parameter for one that stands alone; {i} is a layer's index.
        fused: (specification, names of our parameters) -> the weights that are more than another name.
        spare: stored names that may be there without use: second copies of tied weights, heads of another task.
    """

    model_type: str
    prefix: str
    spec: Callable[[Entries], Spec]
    config: Callable[[Spec], Config | None]
    names: Mapping[str, str]
    fused: Callable[[Spec, Iterable[str]], Iterable[Weight]] = lambda spec, parameters: ()
    spare: tuple[str, ...] = ()

    def weights(self, spec: Spec, parameters: Iterable[str]) -> tuple[Weight, ...]:
        """Which tensors of the file hold the model's parameters."""
        parameters = list(parameters)
        found = list(self.fused(spec, parameters))
        taken = {name for weight in found for name in weight.ours}
        return (*found, *(same(self._theirs(name), name) for name in parameters if name not in taken))

    def _theirs(self, name: str) -> str:
        index = next((part for part in name.split(".") if part.isdigit()), None)
        pattern = name if index is None else name.replace(f".{index}.", ".{i}.", 1)
        module, _, kind = pattern.rpartition(".")
        if pattern in self.names:
            return self.names[pattern].format(i=index)
        if module not in self.names:
            raise ArchError(f"{self.model_type} has no place for {name}")
        return f"{self.names[module].format(i=index)}.{kind}"


AnyMapped = MappedFamily[Any]
