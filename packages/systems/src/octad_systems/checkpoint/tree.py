"""A nested state as JSON and a list of tensors, and back, without pickle.

JSON knows null, booleans, integers, finite floats, strings, arrays and objects with string keys; those stand for
themselves. Everything else is an object with the key "$", which names what it is: `{"$": "tuple", "items": [...]}`,
`{"$": "tensor", "name": "model/weight"}`. A dict with a key that is no string, or with the key "$", is a list of pairs.
"""

import base64
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from octad_systems.checkpoint.tensorfile import FORMAT_NAME
from octad_systems.errors import CheckpointError

TAG = "$"


class TreeEncoder:
    """Turns values into JSON and collects the tensors met on the way in `tensors`, by name, each storage view once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._name_of: dict[tuple[Any, ...], str] = {}

    def encode(self, value: Any, path: str = "") -> Any:
        """The JSON for `value`; `path` ("model/layers.0.weight") names it in errors and names its tensor.

        Raises:
            CheckpointError: a type that could not come back as it is: a class of its own, a generator, a lambda.
        """
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        encode = _ENCODERS.get(kind)
        if encode is not None:
            return encode(self, value, path)
        if isinstance(value, np.generic):
            return {TAG: "numpy_scalar", "value": self._array(np.asarray(value), path)}
        raise CheckpointError(
            f"{path or 'state'} is a {kind.__module__}.{kind.__qualname__}, which JSON and safetensors cannot "
            "give back; use dict, list, tuple, int, float, bool, str, bytes, None, a tensor or a numeric array"
        )

    def _int(self, value: int, path: str) -> Any:
        if value.bit_length() < 1024:
            return value
        return {TAG: "int", "hex": hex(value)}  # Python reads at most 4,300 decimal digits

    def _float(self, value: float, path: str) -> Any:
        if value - value == 0.0:  # finite: JSON's shortest decimal form gives the same float back
            return value
        return {TAG: "float", "bits": struct.pack(">d", value).hex()}

    def _list(self, value: list[Any], path: str) -> Any:
        return [self.encode(item, f"{path}/{index}") for index, item in enumerate(value)]

    def _tuple(self, value: tuple[Any, ...], path: str) -> Any:
        return {TAG: "tuple", "items": self._list(list(value), path)}

    def _dict(self, value: dict[Any, Any], path: str) -> Any:
        if all(type(key) is str for key in value) and TAG not in value:
            return {key: self.encode(item, _join(path, key)) for key, item in value.items()}
        return {TAG: "dict", "items": self._pairs(value, path)}

    def _ordered_dict(self, value: OrderedDict[Any, Any], path: str) -> Any:
        encoded = {TAG: "ordered_dict", "items": self._pairs(value, path)}
        if hasattr(value, "_metadata"):  # a module's state_dict keeps the versions of its modules there
            encoded["module_versions"] = self.encode(value._metadata, f"{path}._metadata")
        return encoded

    def _pairs(self, value: dict[Any, Any], path: str) -> Any:
        return [[self.encode(key, f"{path}/key"), self.encode(item, _join(path, key))] for key, item in value.items()]

    def _array(self, value: np.ndarray[Any, Any], path: str) -> Any:
        try:
            tensor = torch.from_numpy(
                value if value.flags.writeable and min(value.strides, default=0) >= 0 else value.copy()
            )
        except (TypeError, ValueError) as error:  # ValueError: foreign byte order
            raise CheckpointError(
                f"{path} is an array of dtype {value.dtype}, which no tensor holds; "
                "convert it to a native numeric dtype or a list"
            ) from error
        return {TAG: "array", "value": self._tensor(tensor, path)}

    def _tensor(self, tensor: Tensor, path: str) -> Any:
        if type(tensor) not in (Tensor, torch.nn.Parameter, torch.nn.Buffer):
            raise CheckpointError(
                f"{path} is a {type(tensor).__name__}; save a plain tensor (`full_tensor()` of a DTensor)"
            )
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            raise CheckpointError(
                f"{path} is {tensor.layout} {tensor.dtype} on {tensor.device}; "
                "only dense tensors that hold values are saved"
            )
        tensor = tensor.detach()
        key = (
            tensor.device,
            tensor.data_ptr(),
            tensor.shape,
            tensor.stride(),
            tensor.dtype,
            tensor.is_conj(),
            tensor.is_neg(),
        )
        name = self._name_of.get(key) if tensor.numel() else None
        if name is None:
            name = self._name_of[key] = self._free_name(path)
            self.tensors[name] = tensor  # also keeps its memory from being reused under the same address
        encoded: dict[str, Any] = {TAG: "tensor", "name": name, "device": str(tensor.device)}
        if tensor.dtype not in FORMAT_NAME:
            encoded |= {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        return encoded

    def _free_name(self, path: str) -> str:
        name, count = path or "state", 1
        while name in self.tensors or name == "__metadata__":
            count += 1
            name = f"{path}#{count}"
        return name


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)


_ENCODERS: dict[type, Callable[[TreeEncoder, Any, str], Any]] = {
    int: TreeEncoder._int,
    float: TreeEncoder._float,
    list: TreeEncoder._list,
    tuple: TreeEncoder._tuple,
    dict: TreeEncoder._dict,
    OrderedDict: TreeEncoder._ordered_dict,
    np.ndarray: TreeEncoder._array,
    bytes: lambda encoder, value, path: {TAG: "bytes", "base64": base64.b64encode(value).decode()},
    torch.Size: lambda encoder, value, path: {TAG: "size", "items": list(value)},
    torch.dtype: lambda encoder, value, path: {TAG: "dtype", "name": str(value).removeprefix("torch.")},
    torch.device: lambda encoder, value, path: {TAG: "device", "name": str(value)},
}


def decode(encoded: Any, load: Callable[[str, str], Tensor]) -> Any:
    """The value whose JSON `TreeEncoder.encode` gave; `load(name, saved_device)` fetches a tensor.

    Raises:
        CheckpointError: a tag this version does not know.
    """
    if isinstance(encoded, list):
        return [decode(item, load) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if TAG not in encoded:
        return {key: decode(item, load) for key, item in encoded.items()}
    decoder = _DECODERS.get(encoded[TAG])
    if decoder is None:
        raise CheckpointError(f"the state holds a {encoded[TAG]!r}, which this version of octad_systems does not know")
    return decoder(encoded, load)


_Load = Callable[[str, str], Tensor]


def _decode_tensor(encoded: dict[str, Any], load: _Load) -> Tensor:
    tensor = load(encoded["name"], encoded["device"])
    if "dtype" in encoded and tensor.dtype is torch.uint8:
        return tensor.view(getattr(torch, encoded["dtype"])).reshape(encoded["shape"])
    return tensor


def _decode_pairs(encoded: dict[str, Any], load: _Load) -> list[tuple[Any, Any]]:
    return [(decode(key, load), decode(item, load)) for key, item in encoded["items"]]


def _decode_ordered_dict(encoded: dict[str, Any], load: _Load) -> OrderedDict[Any, Any]:
    ordered: OrderedDict[Any, Any] = OrderedDict(_decode_pairs(encoded, load))
    if "module_versions" in encoded:
        ordered._metadata = decode(encoded["module_versions"], load)  # type: ignore[attr-defined]
    return ordered


def _decode_array(encoded: dict[str, Any], load: _Load) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = decode(encoded["value"], load).cpu().numpy()
    return array


_DECODERS: dict[str, Callable[[dict[str, Any], _Load], Any]] = {
    "int": lambda encoded, load: int(encoded["hex"], 16),
    "float": lambda encoded, load: struct.unpack(">d", bytes.fromhex(encoded["bits"]))[0],
    "tuple": lambda encoded, load: tuple(decode(item, load) for item in encoded["items"]),
    "dict": lambda encoded, load: dict(_decode_pairs(encoded, load)),
    "ordered_dict": _decode_ordered_dict,
    "tensor": _decode_tensor,
    "array": _decode_array,
    "numpy_scalar": lambda encoded, load: decode(encoded["value"], load)[()],
    "bytes": lambda encoded, load: base64.b64decode(encoded["base64"]),
    "size": lambda encoded, load: torch.Size(encoded["items"]),
    "dtype": lambda encoded, load: getattr(torch, encoded["name"]),
    "device": lambda encoded, load: torch.device(encoded["name"]),
}
