"""What an instrument measured on one run, as named curves for tables of many runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spectraledge.instruments import Measurement, Window, instrument_key
from spectraledge.models import ModelSpec
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.store import RunFolder
from spectraledge.training import RunSpec

__all__ = ["CurveNames", "curve_prefixes", "reading_curves", "rounded"]

Array = NDArray[Any]
DIGITS = 5


def curve_prefixes(instruments: Sequence[Measurement]) -> dict[Measurement, str]:
    """What the curves of each instrument begin with.

    Args:
        instruments: Distinct instruments of one plan.

    Returns:
        The name of an instrument that is the only one of its name, whatever its fields; else its
        key, which lists the fields that differ from their default.

    Example:
        >>> from spectraledge.instruments import WeightSpectrum
        >>> list(curve_prefixes([WeightSpectrum(kinds=("value",))]).values())
        ['weight_spectrum']
        >>> list(curve_prefixes([WeightSpectrum(), WeightSpectrum(threshold=0.1)]).values())
        ['weight_spectrum', 'weight_spectrum(threshold=0.1)']
    """
    names = Counter(i.name for i in instruments)
    return {i: i.name if names[i.name] == 1 else _safe(instrument_key(i)) for i in instruments}


class CurveNames:
    """Names of the curves of a plan's instruments, for who reads them.

    Args:
        instruments: All of the plan, since names depend on which others there are.

    Example:
        >>> from spectraledge.instruments import SpectralEdge
        >>> name = CurveNames([SpectralEdge()])
        >>> name(SpectralEdge(), "gap23"), name(SpectralEdge(), "rotation", "v1")
        ('spectral_edge/gap23', 'spectral_edge/rotation:v1')
    """

    def __init__(self, instruments: Sequence[Measurement]) -> None:
        self._prefixes = curve_prefixes(instruments)

    def __call__(self, instrument: Measurement, output: str, *labels: str) -> str:
        """Name of an output's curve; of one entry if its labels are given, one an axis."""
        entry = f":{','.join(labels)}" if labels else ""
        return f"{self._prefixes[instrument]}/{output}{entry}"


def reading_curves(
    spec: RunSpec, folder: RunFolder, instrument: Measurement, prefix: str
) -> dict[str, Array]:
    """Curves of what an instrument measured.

    Args:
        spec: The run.
        folder: Where its readings are.
        instrument: What measured them.
        prefix: What the names of the curves begin with, see `curve_prefixes`.

    Returns:
        ``prefix/step``; ``prefix/output`` for outputs that are one number, and the mean over
        matrices of those that have that axis only; ``prefix/output:label`` for every entry of
        outputs that ask for it (`Output.each`), labels of several axes joined by commas. Rounded
        to 5 digits. Empty if the instrument measured nothing.
    """
    try:
        steps, arrays = folder.read_reading(instrument)
    except FileNotFoundError:
        return {}
    found: dict[str, Array] = {}
    for name, array in arrays.items():
        output = instrument.outputs.get(name)
        if output is None:
            continue  # measured by another version of the instrument
        if tuple(output.axes) == ("matrix",):
            found[f"{prefix}/{name}"] = array.mean(axis=1)
        elif not output.axes:
            found[f"{prefix}/{name}"] = array
        if output.each and output.axes:
            labels = _labels(spec, instrument, output.axes, array.shape[1:])
            entries = array.reshape(len(array), -1).T
            found |= {f"{prefix}/{name}:{_safe(at)}": v for at, v in zip(labels, entries)}
    curves = {name: rounded(values) for name, values in found.items()}
    return {f"{prefix}/step": steps} | curves if curves else {}


def rounded(values: Array) -> Array:
    """Values to `DIGITS` significant digits, which is more than seeds leave and compresses."""
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
        rounded = np.round(values * scale) / scale
    return np.where(np.isfinite(scale), rounded, values)


def _labels(
    spec: RunSpec, instrument: Measurement, axes: Sequence[str], shape: Sequence[int]
) -> Iterator[str]:
    """Names of the entries of an array, in its order."""
    known = instrument.labels(Window((_first_snapshot(spec),)))
    names = [known.get(axis) or tuple(map(str, range(n))) for axis, n in zip(axes, shape)]
    for axis, own, n in zip(axes, names, shape):
        if len(own) != n:
            raise ValueError(
                f"{instrument.name}: expected {len(own)} entries along {axis!r}, as the instrument "
                f"names them, got {n}; the reading was made by another version, measure again"
            )
    return (",".join(entry) for entry in product(*names))


def _first_snapshot(spec: RunSpec) -> Snapshot:
    task = spec.task
    layout = _layout(spec.model, task.vocabulary, task.length, task.classes)
    return Snapshot(0, layout, torch.empty(1, layout.size, device="meta"))


@lru_cache(maxsize=64)
def _layout(model: ModelSpec, vocabulary: int, length: int, classes: int) -> Layout:
    # Shapes without memory or initial values.
    with torch.device("meta"):
        built = model.build(vocabulary=vocabulary, length=length, classes=classes, seed=0)
    return Layout.of(built)


def _safe(name: str) -> str:
    # The last slash of a curve's name ends its prefix.
    return name.replace("%", "%25").replace("/", "%2F")
