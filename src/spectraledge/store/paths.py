"""What lies where in the folder of a run, as paths below it.

::

    rank-collapse-1f2e3d4c/
      spec.json                 what was asked for; its hash is in the folder's name
      origin.json               when, where, with which versions
      curves.parquet            a column a metric, a row a recorded step
      snapshots/step-00000200.safetensors
      readings/weight-spectrum-5b6a7988.parquet
      checkpoint.safetensors    while unfinished: the state to resume from
      failed.json               after an error: what went wrong
      done                      written last: every file with its size and SHA-256
"""

from __future__ import annotations

import re

from spectraledge.store.signature import folder_name

__all__ = [
    "CHECKPOINT",
    "CURVES",
    "FAILURE",
    "ORIGIN",
    "READINGS",
    "SNAPSHOTS",
    "SPEC",
    "reading_name",
    "reading_path",
    "snapshot_path",
    "snapshot_step",
    "split_folder_name",
]

SPEC = "spec.json"
ORIGIN = "origin.json"
CURVES = "curves.parquet"
SNAPSHOTS = "snapshots"
READINGS = "readings"
CHECKPOINT = "checkpoint.safetensors"
FAILURE = "failed.json"


def snapshot_path(step: int) -> str:
    """Path of the snapshot at `step`.

    Args:
        step: Optimizer steps taken, ≥ 0.

    Returns:
        Path below the run's folder; text order is step order below 10⁸ steps.

    Raises:
        ValueError: If the step is negative.

    Example:
        >>> snapshot_path(200)
        'snapshots/step-00000200.safetensors'
    """
    if step < 0:
        raise ValueError(f"expected step >= 0, got {step}; steps count from the initialisation")
    return f"{SNAPSHOTS}/step-{step:08d}.safetensors"


def snapshot_step(path: str) -> int | None:
    """Step of a snapshot's path, or None for any other file."""
    match = re.fullmatch(rf"{SNAPSHOTS}/step-(\d+)\.safetensors", path)
    return int(match[1]) if match else None


def reading_path(instrument: object) -> str:
    """Path of an instrument's reading: its class name, and the signature of its own fields.

    Args:
        instrument: The frozen dataclass, or the name of a stored reading.

    Returns:
        Path below the run's folder.

    Raises:
        TypeError: If the instrument's fields have no canonical JSON.
        ValueError: If the instrument's fields have no canonical JSON.

    Example:
        >>> reading_path("weight-spectrum-5b6a7988")
        'readings/weight-spectrum-5b6a7988.parquet'
    """
    if isinstance(instrument, str):
        return f"{READINGS}/{instrument}.parquet"
    return f"{READINGS}/{folder_name(type(instrument).__name__, instrument)}.parquet"


def reading_name(path: str) -> str | None:
    """Name of a reading's path, or None for any other file."""
    match = re.fullmatch(rf"{READINGS}/(.+)\.parquet", path)
    return match[1] if match else None


def split_folder_name(name: str) -> tuple[str, str] | None:
    """Slug and signature of a run's folder, or None for any other folder.

    Args:
        name: Name of a folder.

    Returns:
        The two parts that `folder_name` joined.

    Example:
        >>> split_folder_name("rank-collapse-1f2e3d4c")
        ('rank-collapse', '1f2e3d4c')
    """
    match = re.fullmatch(r"([a-z0-9].*)-([0-9a-f]{8})", name)
    return (match[1], match[2]) if match else None
