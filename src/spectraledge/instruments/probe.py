"""Instruments in somebody else's training loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from spectraledge.decay import LowRankDecay
from spectraledge.instruments.base import Differentiable, Instrument, Window
from spectraledge.instruments.decay_recorder import DecayRecorder
from spectraledge.instruments.observer import Observer
from spectraledge.instruments.plain_module import plain_module
from spectraledge.instruments.probe_state import (
    check_state,
    plain_layout,
    plain_snapshots,
    read_snapshots,
)
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters

__all__ = ["Probe"]


class Probe:
    """Measures a module while somebody else trains it.

    It reads the parameters every so many steps and touches nothing. With the optimizer, what its
    weight decay and low-rank decays attached to it do is recorded exactly (see `DecayRecorder`),
    and all else that moves weights counts as ``gradient``; without, or where weights moved and
    their optimizer did not step, as with checkpoints that are loaded one after another, what needs
    the parts is NaN.

    Args:
        model: Any module, compiled or wrapped for data parallelism as it may be; keep training the
            same object.
        instruments: Instruments; those that evaluate the model need a `problem`.
        every: Measure at step 0 and every multiple of this, >= 1; 1 for saved checkpoints, so that
            none is left out.
        optimizer: Optimizer of the model, or all of them, with decoupled weight decay; the learning
            rate is then read as well.
        low_rank_decay: Low-rank decays that are stepped by hand; attached ones are found.
        problem: For instruments that evaluate the model, e.g. ``ModuleProblem(model, ...)``.

    Raises:
        ValueError: If `every` is below 1, two instruments have the same key, or one evaluates
            the model and there is no problem; for weight decay inside the gradient if an
            instrument needs parts; for a low-rank decay without an optimizer.

    Cost: a copy of all parameters at every measurement, and of as many as instruments look back
    at: 4 bytes a parameter each, and 8 more for each recorded part. `SpectralEdge` and
    `UpdateDecomposition` with their windows of 5 keep 7, with what is summed some 90 bytes a
    parameter; with a sketch next to nothing.

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
        optimizer: Optimizer | Sequence[Optimizer] | None = None,
        low_rank_decay: LowRankDecay | Sequence[LowRankDecay] = (),
        problem: Differentiable | None = None,
    ) -> None:
        if every < 1 or every != int(every):
            raise ValueError(f"Probe: expected a whole every >= 1, got {every}")
        self.model = model = plain_module(model)
        self.every = every
        self._observer = Observer(instruments, problem)
        self._layout = Layout.of(model)
        self._steps: list[int] = []
        self._arrays: dict[str, list[dict[str, Tensor]]] = {}
        self._optimizers = _several(optimizer, Optimizer)
        by_hand = _several(low_rank_decay, LowRankDecay)
        if by_hand and not self._optimizers:
            raise ValueError(
                "Probe: expected optimizer= beside low_rank_decay=, got none; without it nobody "
                "can tell what of a displacement is left for the gradient"
            )
        wanted = self._observer.parts_wanted(self._layout)
        self._decay = None
        if self._optimizers and wanted:
            self._decay = DecayRecorder(model, self._optimizers, wanted, low_rank=by_hand)
        self._named_parts = self._observer.part_names
        self._last: Tensor | None = None

    def step(self, step: int, *, lr: float | None = None) -> None:
        """Call once per step of your loop, before or after the optimizer, always the same.

        Nothing happens at steps that are no multiple of ``every``.

        Args:
            step: Number of the optimizer's step; must grow.
            lr: Learning rate of this step, for effective learning rates; None takes that of the
                optimizer, if it has one for all of its parameters.

        Raises:
            ValueError: If the step does not grow, or the model has other parameters now.
        """
        if step % self.every:
            return
        self._check_layout()
        lr = self._rate() if lr is None else lr
        rate = None if lr is None else torch.tensor([lr], dtype=torch.float64)
        flat = flatten_parameters(self.model).unsqueeze(0)
        parts = self._parts(flat)
        measured = self._observer.observe(Snapshot(step, self._layout, flat, parts, lr=rate))
        self._steps.append(step)
        for key, arrays in measured.items():
            self._arrays.setdefault(key, []).append(arrays)

    def state_dict(self) -> dict[str, Any]:
        """All that it has seen and measured, to be saved with the model and its optimizer.

        Returns:
            Plain containers of numbers and tensors, which ``torch.load`` reads with
            ``weights_only``. As large as the snapshots that instruments look back at, or their
            sketches, and the readings.

        Example:
            >>> from spectraledge.instruments import TrajectoryPCA
            >>> model = nn.TransformerEncoderLayer(8, 2, 16)
            >>> before, after = (Probe(model, [TrajectoryPCA(sketch=64)]) for _ in range(2))
            >>> before.step(0)
            >>> after.load_state_dict(before.state_dict())
            >>> after.step(200)
            >>> after.readings["trajectory_pca(sketch=64)"]["snapshots"].tolist()
            [1.0, 2.0]
        """
        observer = self._observer
        names, shapes = plain_layout(self._layout)
        return {
            "names": names,
            "shapes": shapes,
            "steps": list(self._steps),
            "readings": {key: [dict(a) for a in arrays] for key, arrays in self._arrays.items()},
            "window": plain_snapshots(observer.window),
            "sketches": {key: plain_snapshots(kept) for key, kept in observer.sketches.items()},
            "decay": None if self._decay is None else self._decay.state_dict(),
            "last": self._last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where another probe of the same kind stood; readings are then of one run.

        Args:
            state: Of `state_dict`; load the model and its optimizer as well.

        Raises:
            ValueError: For other instruments or parameters, or if one of the two probes has an
                optimizer and the other has none.
        """
        check_state(state, self._observer, self._layout, records_decay=self._decay is not None)
        self._steps = list(state["steps"])
        self._arrays = {key: [dict(a) for a in arrays] for key, arrays in state["readings"].items()}
        sketches = {
            key: read_snapshots(kept, self._layout) for key, kept in state["sketches"].items()
        }
        self._observer.restore(read_snapshots(state["window"], self._layout), sketches)
        self._last = state["last"]
        if self._decay is not None:
            self._decay.load_state_dict(state["decay"])

    def _check_layout(self) -> None:
        now = Layout.of(self.model)
        if now != self._layout:
            names = sorted(set(now.names) ^ set(self._layout.names))
            changed = ", ".join(names) or "the same names in other shapes"
            raise ValueError(
                f"Probe: the model has other parameters than when the probe was made ({changed}); "
                "make a new probe"
            )

    def _rate(self) -> float | None:
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        rates = {float(group["lr"]) for group in groups}
        return rates.pop() if len(rates) == 1 else None

    def _parts(self, flat: Tensor) -> dict[str, Tensor]:
        """Parts of the displacement since the last measurement; none at the first."""
        if self._decay is None:
            return {}
        steps, before, unseen = self._decay.steps, self._last, self._decay.unseen
        parts = {name: part.to(flat.device) for name, part in self._decay.take().items()}
        self._last = flat.clone()
        # Weights that moved without an optimizer, as loaded ones, have parts that nobody saw.
        if before is None or not (steps or torch.equal(before, flat)):
            return {}
        foreign = [s for s in map(self._layout.span, unseen) if (before != flat)[:, s].any()]
        if foreign:
            # Whatever moved these may have been low-rank decay as well.
            parts.setdefault("low_rank", torch.zeros_like(parts["weight_decay"]))
        for span in foreign:
            for part in parts.values():
                part[:, span] = torch.nan
        if "gradient" in self._named_parts:
            parts["gradient"] = flat.double() - before.double() - sum(parts.values())
        return parts

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


def _several(given: Any, kind: type) -> list[Any]:
    """One object of a kind, several, or none, as a list."""
    several = [] if given is None else [given] if isinstance(given, kind) else list(given)
    for one in several:
        if not isinstance(one, kind):
            raise TypeError(f"Probe: expected {kind.__name__}, got {type(one).__name__}")
    return several
