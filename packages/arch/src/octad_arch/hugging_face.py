"""Exchange of weights with Hugging Face: a folder with config.json and safetensors, read and written."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .building import Buildable, Model
from .checkpoint_map import Weight
from .classic.encoder_heads import HeadedEncoder, HeadedEncoderModel
from .decoder import Decoder, DecoderModel
from .encoder_decoder import EncoderDecoder, EncoderDecoderModel
from .errors import ArchError, require, require_positive
from .families import AnyFamily, family_named, find_family
from .shapes_only import shapes_only

Kind = TypeVar("Kind")
_CONFIG, _WEIGHTS, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def save_pretrained(
    model: DecoderModel | HeadedEncoderModel | EncoderDecoderModel,
    folder: str | os.PathLike[str],
    extra_config: Mapping[str, Any] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    model_type: str | None = None,
) -> Path:
    """Write a folder that transformers' `from_pretrained` reads: config.json and safetensors.

    All files are written aside, flushed to the disk and then renamed, config.json last; a folder without it is not a
    checkpoint. Other files in the folder, such as a tokenizer, stay.

    Args:
        model: of a specification that some family expresses.
        folder: made where missing.
        extra_config: further entries of config.json, such as eos_token_id; none may contradict the specification.
        max_shard_bytes: weights beyond this go to several files with an index.
        model_type: the family to write, where several express the specification; None means the first.

    Raises:
        ArchError: no family expresses the specification, or an extra entry contradicts it.
    """
    require_positive(max_shard_bytes=max_shard_bytes)
    has_main = isinstance(getattr(model, "main", None), DecoderModel)
    require(not has_main, f"no Hugging Face family expresses {type(model.spec).__name__}; save its decoder, model.main")
    family, config = find_family(model.spec, model_type)
    extra = dict(extra_config or {})
    clashes = [
        f"{key}={extra[key]!r} (is {config[key]!r})"
        for key in extra.keys() & config.keys()
        if config[key] not in (None, extra[key])
    ]
    require(not clashes, f"extra_config contradicts the specification: {', '.join(sorted(clashes))}")
    config |= {"dtype": str(next(model.parameters()).dtype).removeprefix("torch.")} | extra
    parameters = dict(model.named_parameters())
    weights = family.weights(model.spec, parameters)  # type: ignore[arg-type]  # find_family has chosen by its kind
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=target) as aside:
        names = _write_shards(Path(aside), weights, parameters, max_shard_bytes)
        (Path(aside) / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for name in (*names, _CONFIG):
            _flush(Path(aside) / name)
        (target / _CONFIG).unlink(missing_ok=True)  # never the old config beside the new weights
        for name in names:
            (Path(aside) / name).replace(target / name)
        for old in (target / _WEIGHTS, target / _INDEX, *target.glob("model-*-of-*.safetensors")):
            if old.name not in names:
                old.unlink(missing_ok=True)
        (Path(aside) / _CONFIG).replace(target / _CONFIG)
    _flush(target)
    return target


def _write_shards(
    folder: Path, weights: Iterable[Weight], parameters: Mapping[str, Tensor], max_shard_bytes: int
) -> list[str]:
    """Write the tensors, converted and copied to the CPU a shard at a time; the names of the files."""
    shards: list[list[Weight]] = [[]]
    size = total = 0
    for weight in weights:
        parts = tuple(parameters[name].detach() for name in weight.ours) or weight.write(())
        weight_bytes = sum(part.nbytes for part in parts)
        if shards[-1] and size + weight_bytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(weight)
        size, total = size + weight_bytes, total + weight_bytes
    count, weight_map = len(shards), dict[str, str]()
    for index, shard in enumerate(shards, start=1):
        name = _WEIGHTS if count == 1 else f"model-{index:05}-of-{count:05}.safetensors"
        tensors: dict[str, Tensor] = {}
        for weight in shard:
            written = weight.write(tuple(parameters[ours].detach() for ours in weight.ours))
            tensors |= {theirs: part.cpu().contiguous() for theirs, part in zip(weight.theirs, written, strict=True)}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    files = sorted(set(weight_map.values()))
    if count > 1:
        index_file = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / _INDEX).write_text(json.dumps(index_file, indent=2) + "\n", encoding="utf-8")
        files.append(_INDEX)
    return files


def read_spec(folder: str | os.PathLike[str]) -> Decoder:
    """The decoder that the folder's config.json describes; no weight is read.

    Raises:
        ArchError: no config.json, a torn one, or a model that this package does not express.
    """
    return _spec_of(Path(folder), Decoder)[1]


def load_pretrained(
    folder: str | os.PathLike[str], device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> DecoderModel:
    """The decoder in a Hugging Face folder, from one safetensors file or from shards with an index.

    Every name and shape is checked before any memory is taken, so a model is loaded whole or not at all. The files are
    mapped into memory and copied one tensor at a time, so the model is never in memory twice.

    Args:
        folder: with config.json and weights.
        device: where the parameters go; None means the CPU.
        dtype: their type; None keeps that of the stored embedding.

    Raises:
        ArchError: a model that is not supported, a missing or torn file, or tensors missing, left over or of the wrong
            shape: all of them are listed. Pickled weights are refused.
    """
    return _load(Path(folder), Decoder, device, dtype)


def load_encoder(
    folder: str | os.PathLike[str], device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> HeadedEncoderModel:
    """The encoder in a Hugging Face folder, with the heads of its `architectures`; as `load_pretrained`."""
    return _load(Path(folder), HeadedEncoder, device, dtype)


def load_encoder_decoder(
    folder: str | os.PathLike[str], device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> EncoderDecoderModel:
    """The encoder and decoder in a Hugging Face folder; as `load_pretrained`."""
    return _load(Path(folder), EncoderDecoder, device, dtype)


_LOADERS = {Decoder: "load_pretrained", HeadedEncoder: "load_encoder", EncoderDecoder: "load_encoder_decoder"}


def _spec_of(folder: Path, kind: type[Kind]) -> tuple[AnyFamily, Kind]:
    config = _read_json(folder / _CONFIG)
    family = family_named(config.get("model_type"))
    spec = family.spec(config)
    if not isinstance(spec, kind):
        raise ArchError(f"{folder} holds a {type(spec).__name__}; read it with {_LOADERS[type(spec)]}")
    return family, spec


def _load(
    path: Path, kind: type[Buildable[Model]], device: torch.device | str | None, dtype: torch.dtype | None
) -> Model:
    family, spec = _spec_of(path, kind)
    with shapes_only():
        empty = dict(spec.module().named_parameters())
    weights = family.weights(spec, empty)  # type: ignore[arg-type]  # the kind has been checked
    stored = _locate(path, family.prefix)
    # What the specification implies need not be stored; where it is, it must agree.
    weights = tuple(weight for weight in weights if weight.ours or all(name in stored for name in weight.theirs))
    _compare(_stored_shapes(weights, empty), stored, family.spare, path)
    first = next(
        weight.theirs[0] for weight in weights if any(each.endswith("embedding.weight") for each in weight.ours)
    )
    model = spec.build_empty(device, dtype or _dtype_of(stored[first]))
    parameters = dict(model.named_parameters())
    with ExitStack() as stack:
        files = {file: stack.enter_context(_opened(file)) for file in sorted({place.file for place in stored.values()})}
        for weight in weights:
            read = weight.read(tuple(files[stored[name].file].get_tensor(stored[name].name) for name in weight.theirs))
            for ours, tensor in zip(weight.ours, read, strict=True):
                parameters[ours].detach().copy_(tensor)
    return model


def _stored_shapes(weights: Iterable[Weight], parameters: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes that the file must have, from those of the parameters."""
    shapes: dict[str, tuple[int, ...]] = {}
    for weight in weights:
        written = weight.write(tuple(parameters[ours].detach() for ours in weight.ours))
        shapes |= {theirs: tuple(part.shape) for theirs, part in zip(weight.theirs, written, strict=True)}
    return shapes


class _Place(NamedTuple):
    """Where a tensor is stored."""

    file: Path
    name: str
    shape: tuple[int, ...]


def _locate(folder: Path, prefix: str) -> dict[str, _Place]:
    """Every stored tensor by its full name: a file of the bare model lacks the prefix."""
    stored = _stored(folder)
    if prefix and not any(name.startswith(prefix) for name in stored):
        return {name if name.startswith("lm_head.") else prefix + name: place for name, place in stored.items()}
    return stored


def _stored(folder: Path) -> dict[str, _Place]:
    if (folder / _WEIGHTS).exists():
        return dict(_headers([folder / _WEIGHTS]))
    if (folder / _INDEX).exists():
        weight_map = _read_json(folder / _INDEX).get("weight_map")
        if not isinstance(weight_map, dict):
            raise ArchError(f"{folder / _INDEX} has no weight_map; download it again")
        outside = sorted({name for name in weight_map.values() if Path(name).name != name})
        require(not outside, f"{folder / _INDEX} names files outside its folder: {', '.join(outside)}")
        stored = dict(_headers(folder / name for name in sorted(set(weight_map.values()))))
        lost = sorted(name for name, file in weight_map.items() if name not in stored or stored[name].file.name != file)
        require(not lost, f"{folder / _INDEX} promises tensors that its files lack: {', '.join(lost)}")
        return stored
    pickled = sorted(file.name for file in folder.glob("*.bin")) + sorted(file.name for file in folder.glob("*.pt*"))
    if pickled:
        raise ArchError(
            f"{folder} holds only pickled weights ({', '.join(pickled)}), which can run code; use safetensors"
        )
    raise ArchError(f"{folder} has neither {_WEIGHTS} nor {_INDEX}")


def _headers(files: Iterable[Path]) -> Iterator[tuple[str, _Place]]:
    for file in files:
        with _opened(file) as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                yield name, _Place(file, name, tuple(tensors.get_slice(name).get_shape()))


def _compare(
    wanted: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, _Place],
    spare: Iterable[str],
    folder: Path,
) -> None:
    """Raise one `ArchError` that lists every difference."""
    # Old exports keep fixed frequencies and masks, and a tied head a second time.
    old = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias")
    harmless = {name for name in stored if name.endswith(old)} - wanted.keys()
    harmless |= set(spare) - wanted.keys()
    problems = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in stored]
    problems += [
        f"left over {name} {stored[name].shape}" for name in stored if name not in wanted and name not in harmless
    ]
    problems += [
        f"{name} has shape {stored[name].shape}, config.json asks for {shape}"
        for name, shape in wanted.items()
        if name in stored and stored[name].shape != shape
    ]
    require(not problems, f"{folder} does not fit its config.json: " + "; ".join(problems))


def _dtype_of(place: _Place) -> torch.dtype:
    with _opened(place.file) as tensors:
        dtype: torch.dtype = tensors.get_slice(place.name)[:0].dtype
    return dtype


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """An open safetensors file; its own errors become ours, with its name."""
    if not file.exists():
        raise ArchError(f"{file} is missing; download it again")
    try:
        with safe_open(file, framework="pt") as tensors:
            yield tensors
    except SafetensorError as error:
        raise ArchError(f"{file} is torn or no safetensors file ({error}); download it again") from error


def _read_json(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise ArchError(f"{file} is missing")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArchError(f"{file} is torn or no JSON ({error})") from error
    if not isinstance(content, dict):
        raise ArchError(f"{file} holds a {type(content).__name__}, not an object")
    return content


def _flush(path: Path) -> None:
    """Ask the system to put a file, or a folder's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
