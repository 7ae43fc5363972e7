"""Exchange of weights with Hugging Face: a folder with config.json and safetensors, read and written."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .decoder import Decoder, DecoderModel
from .errors import ArchError, require
from .families import family_named, find_family

_CONFIG, _WEIGHTS, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def save_pretrained(
    model: DecoderModel, folder: str | os.PathLike[str], extra_config: Mapping[str, Any] | None = None
) -> Path:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` reads: config.json and model.safetensors.

    Both files are written aside, flushed to the disk and then renamed, config.json last; a folder without it is not a
    checkpoint. Other files in the folder, such as a tokenizer, stay.

    Args:
        model: of a specification that some family expresses.
        folder: made where missing.
        extra_config: further entries of config.json, such as eos_token_id; none may contradict the specification.

    Raises:
        ArchError: no family expresses the specification, or an extra entry contradicts it.
    """
    family, config = find_family(model.spec)
    extra = dict(extra_config or {})
    clashes = [
        f"{key}={extra[key]!r} (is {config[key]!r})"
        for key in extra.keys() & config.keys()
        if extra[key] != config[key]
    ]
    require(not clashes, f"extra_config contradicts the specification: {', '.join(sorted(clashes))}")
    config |= {"dtype": str(model.embedding.weight.dtype).removeprefix("torch.")} | extra
    names = _parameter_names(model, family.names(model.spec))
    tensors = {theirs: parameter.detach().cpu().contiguous() for theirs, parameter in names.items()}
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=target) as aside:
        save_file(tensors, Path(aside) / _WEIGHTS, metadata={"format": "pt"})
        (Path(aside) / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for name in (_WEIGHTS, _CONFIG):
            _flush(Path(aside) / name)
        (target / _CONFIG).unlink(missing_ok=True)  # never the old config beside the new weights
        for name in (_WEIGHTS, _CONFIG):
            (Path(aside) / name).replace(target / name)
    _flush(target)
    return target


def read_spec(folder: str | os.PathLike[str]) -> Decoder:
    """The specification that the folder's config.json describes; no weight is read.

    Raises:
        ArchError: no config.json, a torn one, or a model that this package does not express.
    """
    config = _read_json(Path(folder) / _CONFIG)
    return family_named(config.get("model_type")).decoder(config)


def load_pretrained(
    folder: str | os.PathLike[str], device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> DecoderModel:
    """The model in a Hugging Face folder, from one safetensors file or from shards with an index.

    Every name and shape is checked before any memory is taken, so a model is loaded whole or not at all.

    Args:
        folder: with config.json and weights.
        device: where the parameters go; None means the CPU.
        dtype: their type; None keeps that of the stored embedding.

    Raises:
        ArchError: a model that is not supported, a missing or torn file, or tensors missing, left over or of the wrong
            shape: all of them are listed. Pickled weights are refused.
    """
    path = Path(folder)
    spec = read_spec(path)
    family = family_named(_read_json(path / _CONFIG).get("model_type"))
    with torch.device("meta"):
        wanted = _parameter_names(DecoderModel(spec), family.names(spec))
    stored = _locate(path)
    _compare({name: tuple(tensor.shape) for name, tensor in wanted.items()}, stored, spec, path)
    embedding = next(iter(wanted))
    model = spec.build_empty(device, dtype or _dtype_of(stored[embedding][0], embedding))
    parameters = _parameter_names(model, family.names(spec))
    for file in sorted({stored[name][0] for name in parameters}):
        with _opened(file) as tensors:
            for name in (name for name in parameters if stored[name][0] == file):
                parameters[name].detach().copy_(tensors.get_tensor(name))
    return model


def _parameter_names(model: DecoderModel, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The parameters of a model under their names in the file, the embedding first."""
    renamed: dict[str, Tensor] = {}
    for ours, parameter in model.named_parameters():
        module, _, kind = ours.rpartition(".")
        renamed[f"{names[module]}.{kind}"] = parameter
    return renamed


def _locate(folder: Path) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Every stored tensor: the file it is in, and its shape."""
    if (folder / _WEIGHTS).exists():
        return dict(_headers([folder / _WEIGHTS]))
    if (folder / _INDEX).exists():
        weight_map = _read_json(folder / _INDEX).get("weight_map")
        if not isinstance(weight_map, dict):
            raise ArchError(f"{folder / _INDEX} has no weight_map; download it again")
        outside = sorted({name for name in weight_map.values() if Path(name).name != name})
        require(not outside, f"{folder / _INDEX} names files outside its folder: {', '.join(outside)}")
        stored = dict(_headers(folder / name for name in sorted(set(weight_map.values()))))
        lost = sorted(name for name, file in weight_map.items() if name not in stored or stored[name][0].name != file)
        require(not lost, f"{folder / _INDEX} promises tensors that its files lack: {', '.join(lost)}")
        return stored
    pickled = sorted(file.name for file in folder.glob("*.bin")) + sorted(file.name for file in folder.glob("*.pt*"))
    if pickled:
        raise ArchError(
            f"{folder} holds only pickled weights ({', '.join(pickled)}), which can run code; use safetensors"
        )
    raise ArchError(f"{folder} has neither {_WEIGHTS} nor {_INDEX}")


def _headers(files: Iterable[Path]) -> Iterator[tuple[str, tuple[Path, tuple[int, ...]]]]:
    for file in files:
        with _opened(file) as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a mapping
                yield name, (file, tuple(tensors.get_slice(name).get_shape()))


def _compare(
    wanted: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, tuple[Path, tuple[int, ...]]],
    spec: Decoder,
    folder: Path,
) -> None:
    """Raise one `ArchError` that lists every difference."""
    # Old exports keep the fixed rotary frequencies, and a tied head a second time.
    harmless = {name for name in stored if name.endswith("rotary_emb.inv_freq")}
    if spec.tied_embeddings:
        harmless.add("lm_head.weight")
    problems = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in stored]
    problems += [
        f"left over {name} {stored[name][1]}" for name in stored if name not in wanted and name not in harmless
    ]
    problems += [
        f"{name} has shape {stored[name][1]}, config.json asks for {shape}"
        for name, shape in wanted.items()
        if name in stored and stored[name][1] != shape
    ]
    require(not problems, f"{folder} does not fit its config.json: " + "; ".join(problems))


def _dtype_of(file: Path, name: str) -> torch.dtype:
    with _opened(file) as tensors:
        dtype: torch.dtype = tensors.get_slice(name)[:0].dtype
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
