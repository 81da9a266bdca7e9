"""Where and how to run: nothing here changes what a run means."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten

__all__ = ["Execution", "check_device", "compiled", "compiled_operations"]

# Ctrl-C while a library is linked leaves an empty file, which torch's cache would keep for good.
TORN_LIBRARY = re.compile(r"(\S+\.so): (?:file too short|invalid ELF header|cannot read file data)")


@dataclass(frozen=True)
class Execution:
    """Device, threads and compilation; recorded beside a result, not part of its identity.

    Args:
        device: Torch device of parameters and data.
        compile: Whether to compile the step. Without a C++ compiler it runs eagerly, with one
            warning.
        threads: Torch threads of this process, >= 1. One is the default because two threads on
            two shared cores ran up to ten times slower under load.

    Raises:
        ValueError: For fewer than one thread.
    """

    device: str = "cpu"
    compile: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"Execution: expected threads >= 1, got {self.threads}")

    def apply(self) -> None:
        """Set the thread count of this process, and let it keep the memory it frees."""
        torch.set_num_threads(self.threads)
        _keep_freed_memory()


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have, before a run is made that fails on it.

    Args:
        device: Name of a torch device.

    Raises:
        ValueError: If torch cannot use it here.

    Example:
        >>> check_device("cpu")
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"expected a device of this machine, got {device!r} ({reason}); use cpu"
        ) from error


@functools.cache
def _keep_freed_memory() -> None:
    # glibc returns every freed block of more than 128 kB to the kernel and faults it in again at
    # the next step; a training step frees and takes the same megabytes each time. Without this a
    # step is 3 to 8 % slower. Other C libraries are left as they are.
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"):
        return
    trim_threshold, mmap_threshold, limit = -1, -3, 1 << 30
    ctypes.CDLL(None).mallopt(mmap_threshold, limit)
    ctypes.CDLL(None).mallopt(trim_threshold, limit)


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"{reason}; training runs eagerly, about 1.5x slower", stacklevel=3)


def _compiler_missing(device: str) -> bool:
    candidates = (os.environ.get("CXX"), "g++", "clang++", "c++")
    return device.startswith("cpu") and not any(shutil.which(c) for c in candidates if c)


def compiled(function: Callable[..., Any], execution: Execution) -> Callable[..., Any]:
    """Compile `function` for static shapes, or return it as it is where that cannot work.

    Args:
        function: Traceable without graph breaks.
        execution: Says whether to compile, and for which device.

    Returns:
        A callable with the same meaning.
    """
    if not execution.compile:
        return function
    if _compiler_missing(execution.device):
        _warn_once("no C++ compiler found (looked for $CXX, g++, clang++, c++)")
        return function
    return _EagerOnFailure(function)


def compiled_operations(function: Callable[..., Any], execution: Execution) -> Callable[..., Any]:
    """`compiled` for nestings of derivatives that the compiler cannot read.

    Records the operations that `function` performs, once for each set of shapes, and compiles the
    record.

    Args:
        function: Of tensors, and tuples of them; what it performs may depend on their shapes, not
            their values.
        execution: Says whether to compile, and for which device.

    Returns:
        A callable with the same meaning.
    """
    records: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def call(*arguments: Any) -> Any:
        tensors, structure = tree_flatten(arguments)
        shapes = (str(structure), *((x.shape, x.dtype) for x in tensors))
        if shapes not in records:
            record = make_fx(lambda *flat: function(*tree_unflatten(flat, structure)))(*tensors)
            records[shapes] = compiled(record, execution)
        return records[shapes](*tensors)

    return call if execution.compile else function


class _EagerOnFailure:
    """A compiled function that becomes the eager one if compiling fails."""

    def __init__(self, function: Callable[..., Any]) -> None:
        # One code object serves many batch shapes and models; each is its own specialisation.
        torch._dynamo.config.recompile_limit = 256
        torch._dynamo.config.accumulated_recompile_limit = 1024
        self._eager = function
        self._call = torch.compile(function, fullgraph=True, dynamic=False)
        self._removed: set[str] = set()

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._call(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            # Compilation fails before anything is computed, so arguments are still untouched.
            if self._remove_torn_library(str(error)):
                return self(*arguments)
            _warn_once(f"compiling failed ({type(error).__name__}: {str(error).splitlines()[0]})")
            self._call = self._eager
            return self._eager(*arguments)

    def _remove_torn_library(self, message: str) -> bool:
        """Whether a torn library was the reason; each is removed once, to be built again."""
        torn = TORN_LIBRARY.search(message)
        if torn is None or torn[1] in self._removed:
            return False
        self._removed.add(torn[1])
        Path(torn[1]).unlink(missing_ok=True)
        return True
