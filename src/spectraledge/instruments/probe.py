"""Instruments in somebody else's training loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spectraledge.instruments.base import Instrument, Observer, Window
from spectraledge.instruments.decay_recorder import DecayRecorder
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters

__all__ = ["Probe"]


class Probe:
    """Measures a module while somebody else trains it.

    It reads the parameters every so many steps and touches nothing. With the optimizer, what its
    weight decay does is recorded exactly (see `DecayRecorder`), and all else that moves weights
    counts as ``gradient``; without, or where weights moved and the optimizer did not step, as with
    checkpoints that are loaded one after another, what needs the parts is NaN.

    Args:
        model: Any module; keep training the same object.
        instruments: Instruments that look at weights only.
        every: Steps between two measurements, >= 1.
        optimizer: Optimizer of the model, with decoupled weight decay; its learning rate is then
            read as well.

    Raises:
        ValueError: If `every` is below 1, two instruments have the same key, or one evaluates
            the model (use `scale_invariance_of` there); for weight decay inside the gradient if an
            instrument needs parts.

    Cost: a copy of all parameters at every measurement, and of the last one between them for
    instruments that look at two.

    Example:
        >>> from spectraledge.instruments import WeightSpectrum
        >>> model = nn.TransformerEncoderLayer(8, 2, 16)
        >>> probe = Probe(model, [WeightSpectrum()], every=10)
        >>> for step in range(30):
        ...     probe.step(step)
        >>> probe.readings["weight_spectrum"]["stable_rank"].shape
        (3, 2)
    """

    def __init__(
        self,
        model: nn.Module,
        instruments: Iterable[Instrument],
        *,
        every: int = 200,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"Probe: expected every >= 1, got {every}")
        self.model = model
        self.every = every
        self._observer = Observer(instruments)
        self._layout = Layout.of(model)
        self._steps: list[int] = []
        self._arrays: dict[str, list[dict[str, Tensor]]] = {}
        self._optimizer = optimizer
        wanted = self._observer.parts_wanted(self._layout)
        self._decay = DecayRecorder(model, optimizer, wanted) if optimizer and wanted else None
        self._last: Tensor | None = None

    def step(self, step: int, *, lr: float | None = None) -> None:
        """Call once per step of your loop, before or after the optimizer, always the same.

        Args:
            step: Number of the step; must grow.
            lr: Learning rate of this step, for effective learning rates; None takes that of the
                optimizer, if it has one for all of its parameters.

        Raises:
            ValueError: If the step does not grow.
        """
        if step % self.every:
            return
        lr = self._rate() if lr is None else lr
        rate = None if lr is None else torch.tensor([lr], dtype=torch.float64)
        flat = flatten_parameters(self.model).unsqueeze(0)
        parts = self._parts(flat)
        measured = self._observer.observe(Snapshot(step, self._layout, flat, parts, lr=rate))
        self._steps.append(step)
        for key, arrays in measured.items():
            self._arrays.setdefault(key, []).append(arrays)

    def _rate(self) -> float | None:
        groups = self._optimizer.param_groups if self._optimizer else []
        rates = {float(group["lr"]) for group in groups}
        return rates.pop() if len(rates) == 1 else None

    def _parts(self, flat: Tensor) -> dict[str, Tensor]:
        """Parts of the displacement since the last measurement; none at the first."""
        if self._decay is None:
            return {}
        steps, before = self._decay.steps, self._last
        decay, self._last = self._decay.take().to(flat.device), flat.clone()
        # Weights that moved without the optimizer, as loaded ones, have parts that nobody saw.
        if before is None or not (steps or torch.equal(before, flat)):
            return {}
        return {"weight_decay": decay, "gradient": flat.double() - before.double() - decay}

    @property
    def readings(self) -> dict[str, dict[str, NDArray[Any]]]:
        """For each instrument ``step`` ``(T,)`` and its outputs ``(T, *axes)`` float64."""
        return {
            key: {"step": np.array(self._steps)}
            | {name: np.stack([a[name][0].numpy() for a in arrays]) for name in arrays[0]}
            for key, arrays in self._arrays.items()
        }

    @property
    def labels(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """For each instrument the names of the entries along each labelled axis."""
        window = Window(self._observer.window)
        return {
            key: {axis: tuple(names) for axis, names in instrument.labels(window).items()}
            for key, (instrument, _) in self._observer.instruments.items()
            if self._steps
        }
