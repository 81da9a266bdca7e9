"""Named tensors as one block of safetensors bytes that carries its own checksum.

The file is plain safetensors, readable by anything; the checksum stands in its metadata, so that
damage is noticed wherever the file is found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor

from spectraledge.store.checksum import CHECKSUM, Block, checksum
from spectraledge.store.damage import DamagedError

__all__ = ["tensors_from_bytes", "tensors_to_bytes"]


def tensors_to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Safetensors bytes of `tensors`, on the CPU, in their own types.

    Args:
        tensors: Any shapes and real types; views of one storage are allowed.
        metadata: Text to keep with them; the key ``sha256`` is taken.

    Returns:
        The content of a safetensors file.

    Raises:
        ValueError: If the metadata has a ``sha256``.

    Example:
        >>> data = tensors_to_bytes({"w": torch.ones(2)}, {"step": "3"})
        >>> tensors_from_bytes(data, "memory")
        ({'w': tensor([1., 1.])}, {'step': '3'})
    """
    from safetensors.torch import save

    # Safetensors refuses tensors that share memory, as the views of a flat vector do.
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return bytes(save(own, {**metadata, CHECKSUM: _checksum(own, metadata)}))


def tensors_from_bytes(data: bytes, source: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata out of `tensors_to_bytes`, checked.

    Args:
        data: The content of a safetensors file.
        source: What to call it in an error.

    Returns:
        The tensors by name, and the metadata without the checksum.

    Raises:
        DamagedError: If the bytes are cut short, altered or carry no checksum.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        metadata = _metadata(data)
        expected = metadata.pop(CHECKSUM)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(source, [f"no checked safetensors file ({error})"]) from error
    if _checksum(tensors, metadata) != expected:
        raise DamagedError(source, ["its values do not match their checksum"])
    return tensors, metadata


def _metadata(data: bytes) -> dict[str, str]:
    # The format: eight bytes of header length, little-endian, then the header as JSON.
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    return checksum((_block(name, tensor) for name, tensor in tensors.items()), metadata)


def _block(name: str, tensor: Tensor) -> Block:
    values = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    return Block(name, str(tensor.dtype), tuple(tensor.shape), values)
