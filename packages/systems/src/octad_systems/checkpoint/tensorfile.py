"""Writing safetensors one tensor at a time: 8 bytes of header length, a JSON header, the tensors' bytes.

The library's own writer wants every tensor as bytes in memory at once (a second copy of a model and its optimizer, all
of it off the accelerator) and reports a full disk as a bare string. Reading stays with the library.
Format: https://huggingface.co/docs/safetensors (little-endian, data aligned to 8 bytes).
"""

import json
import math
import struct
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

FORMAT_NAME = {  # what the format has a name for; the rest is stored as bytes, its dtype beside it
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def stored_form(tensor: Tensor) -> Tensor:
    """The tensor as the file holds it: on the CPU, contiguous, as bytes if the format has no name for its dtype."""
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return tensor if tensor.dtype in FORMAT_NAME else tensor.reshape(-1).view(torch.uint8)


def tensor_file_header(tensors: Mapping[str, Tensor]) -> tuple[bytes, list[str]]:
    """The header's bytes, length included, and the names in the order in which their data must follow.

    The widest elements come first, so that every tensor starts at a multiple of its element size.
    """
    order = sorted(tensors, key=lambda name: -tensors[name].itemsize if tensors[name].dtype in FORMAT_NAME else -1)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        tensor = tensors[name]
        size = tensor.numel() * tensor.itemsize
        dtype, shape = FORMAT_NAME.get(tensor.dtype), list(tensor.shape)
        if dtype is None:
            dtype, shape = "U8", [size]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, order


def tensor_file_chunks(tensors: Mapping[str, Tensor], chunk_bytes: int = 1 << 24) -> Iterator[bytes | memoryview]:
    """The file's bytes in order, the header first, then pieces of at most `chunk_bytes`; one tensor at a time."""
    header, order = tensor_file_header(tensors)
    yield header
    for name in order:
        stored = stored_form(tensors[name])
        if stored.numel():
            data = stored.reshape(-1).view(torch.uint8).numpy().data
            for start in range(0, len(data), chunk_bytes):
                yield data[start : start + chunk_bytes]


def tensor_file_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Size of the file that `tensor_file_chunks` makes."""
    header, _ = tensor_file_header(tensors)
    return len(header) + sum(math.prod(tensor.shape) * tensor.itemsize for tensor in tensors.values())
