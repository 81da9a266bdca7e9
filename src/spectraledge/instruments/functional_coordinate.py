"""The coordinates of a representation that the outputs depend on, found without knowing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.class_fourier import (
    check_order,
    class_fourier,
    class_means,
    class_order,
)
from spectraledge.instruments.labelled_tokens import (
    LabelledTokens,
    Rows,
    held_out_runs,
    inspected,
    run_representations,
)
from spectraledge.instruments.representations import probed_modules
from spectraledge.linalg import frequencies_for_share, frequency_energy
from spectraledge.linalg.output_coordinates import METHODS, output_coordinates
from spectraledge.linalg.ridge import r_squared
from spectraledge.names import check_name

__all__ = ["FunctionalCoordinate", "coordinate_measures"]

AXES = ("module", "coordinate")
WHOLE = ""
TOGETHER = ("joint_label_score", "frequencies")


def coordinate_measures(
    tokens: LabelledTokens,
    outputs: Float64[Tensor, "n C"],
    *,
    count: int = 4,
    method: str = "reduced_rank",
    shuffles: int = 20,
    order: str = "natural",
    modulus: int | None = None,
) -> dict[str, Tensor]:
    """Find the coordinates that outputs depend on, then say what they are of the label.

    The label takes no part in the search. Afterwards: ``class_score``, share of a coordinate's
    variance between classes of the label; ``label_score``, R² of a straight line in the label, and
    ``joint_label_score``, of the label as a linear function of all coordinates;
    ``concentration`` and ``peak``, the frequency over the classes that explains most
    (`class_fourier`, weighted); and ``frequencies``, how many hold 80 % of the energy of the class
    means of all coordinates, in units of the outputs.

    Where the label is a depth, the coordinates are functions of it (``class_score`` near 1), from
    which it follows. Waves of a sum modulo p have no ``label_score``, but few ``frequencies``;
    those of nearly equal variance mix in single coordinates.

    Args:
        tokens: Representation at each labelled token.
        outputs: What the model gives there, e.g. log-probabilities.
        count: Coordinates K.
        method: See `output_coordinates`.
        shuffles: For the null.
        order: Of the classes.
        modulus: For the order of discrete logarithms.

    Returns:
        The outputs of `FunctionalCoordinate` for one module; NaN where there is none.
    """
    found = output_coordinates(
        tokens.features, outputs, tokens.sequence, count=count, method=method, shuffles=shuffles
    )
    if found is None:
        return _nothing(count)
    values = found.values.mT
    classes = class_order(tokens.labels, order, modulus)
    means, counts = class_means(values, tokens.labels, classes)
    fourier = class_fourier(means, counts)
    return {
        "correlation": found.correlation,
        "null_correlation": found.null_correlation,
        "output_share": found.output_share,
        "label_score": torch.stack([_line_score(v, tokens.labels) for v in values]),
        "joint_label_score": _joint_score(found.values, tokens.labels),
        "frequencies": _frequencies(means),
        "class_score": torch.stack([_class_score(v, tokens.labels) for v in values]),
        "concentration": fourier["weighted_concentration"],
        "peak": fourier["weighted_peak"],
    }


def _nothing(count: int) -> dict[str, Tensor]:
    return {
        name: torch.full((count,) * (len(output.axes) - 1), nan).double()
        for name, output in FunctionalCoordinate.outputs.items()
    }


def _line_score(values: Tensor, labels: Int64[Tensor, " n"]) -> Tensor:
    both = torch.stack([values, labels.double()])
    return torch.corrcoef(both)[0, 1].square()


def _frequencies(means: Tensor) -> Tensor:
    """Frequencies that hold 80 % of the energy of all coordinates' class means together."""
    known = means[means.isfinite().all(-1)]
    if not len(known) or known.shape[-1] < 3:
        return torch.tensor(nan).double()
    energy = frequency_energy(known.mT)[1:]
    return frequencies_for_share(energy / energy.sum())


def _joint_score(values: Tensor, labels: Int64[Tensor, " n"]) -> Tensor:
    known = values[:, values.isfinite().all(0)]
    target = labels.double()[:, None]
    columns = torch.cat([known, torch.ones_like(target)], 1)
    # A basis first, since coordinates may be of very different sizes.
    basis = torch.linalg.qr(columns)[0]
    return r_squared(target, basis @ (basis.mT @ target))


def _class_score(values: Tensor, labels: Int64[Tensor, " n"]) -> Tensor:
    classes, index = labels.unique(return_inverse=True)
    means, _ = class_means(values, labels, classes)
    return r_squared(values[:, None], means[index][:, None])


@dataclass(frozen=True)
class FunctionalCoordinate(Instrument):
    """The coordinates of each layer that the model's log-probabilities depend on.

    A search that is told neither depth nor frequency: see `output_coordinates`. Held-out rows that
    occur in training are left out, and the correlation is on rows that the search did not see.

    Args:
        modules: Modules to look at; empty for every block. Those at other positions than the labels
            have no output beside them and are NaN.
        count: Coordinates, >= 1.
        method: ``reduced_rank`` orders by variance of the outputs, ``canonical`` by correlation.
        rows: Held-out rows, >= 1.
        shuffles: Of the outputs between rows, for the null, >= 1.
        order: Order of the label's classes, ``natural`` or ``discrete_logarithm``.
        modulus: The prime, for the latter.

    Raises:
        ValueError: For unknown names or numbers out of range; at the first snapshot for unknown
            modules.

    Cost: one forward pass, and `shuffles` regressions of the width of the module: 0.5 s for Dyck-1.

    Source: derived here; reduced-rank regression as in Izenman (1975), canonical correlations as in
    Hotelling (1936).
    """

    modules: tuple[str, ...] = ()
    count: int = 4
    method: str = "reduced_rank"
    rows: int = 300
    shuffles: int = 20
    order: str = "natural"
    modulus: int | None = None

    name: ClassVar[str] = "functional_coordinate"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        name: Output(meaning, axes=AXES[:1] if name in TOGETHER else AXES, each=True)
        for name, meaning in {
            "correlation": "correlation with its output coordinate, held-out rows",
            "null_correlation": "95 % quantile of the same after outputs change rows",
            "output_share": "held-out share of the outputs' variance that it explains",
            "label_score": "R² of a straight line in the label",
            "joint_label_score": "R² of the label, linear in all coordinates",
            "frequencies": "frequencies over classes that hold 80 % of all coordinates' energy",
            "class_score": "share of its variance between classes of the label",
            "concentration": "share of the variance between classes in one frequency",
            "peak": "frequency over classes that explains most",
        }.items()
    }

    def __post_init__(self) -> None:
        check_name("method for FunctionalCoordinate", self.method, METHODS)
        if self.count < 1 or self.rows < 1 or self.shuffles < 1:
            raise ValueError(
                "FunctionalCoordinate: expected count, rows and shuffles >= 1, got "
                f"{self.count}, {self.rows} and {self.shuffles}"
            )
        check_order("FunctionalCoordinate", self.order, self.modulus)

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the modules, and numbers of the coordinates."""
        modules = probed_modules("FunctionalCoordinate", self.modules, window.now.layout)
        return {"module": modules, "coordinate": tuple(f"c{k + 1}" for k in range(self.count))}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Coordinates of the newest snapshot."""
        problem, now = inspected(self.name, window), window.now
        modules = self.labels(window)["module"]
        runs = []
        for theta, rows in zip(now.parameters, held_out_runs(problem, self.rows)):
            found = run_representations(problem, now.layout, theta, rows.tokens, (*modules, WHOLE))
            layers = [self._layer(rows, found[name], found[WHOLE]) for name in modules]
            runs.append({name: torch.stack([at[name] for at in layers]) for name in self.outputs})
        return {name: torch.stack([run[name] for run in runs]) for name in self.outputs}

    def _layer(self, rows: Rows, representation: Tensor, logits: Tensor) -> dict[str, Tensor]:
        inside, outside = (rows.labelled(x).novel() for x in (representation, logits))
        aligned = len(inside.labels) == len(outside.labels) and (
            representation.ndim == 2
            or rows.labels.ndim == 1
            or representation.shape[1] == logits.shape[1]
        )
        if not aligned:
            return _nothing(self.count)
        return coordinate_measures(
            inside,
            outside.features.log_softmax(-1),
            count=self.count,
            method=self.method,
            shuffles=self.shuffles,
            order=self.order,
            modulus=self.modulus,
        )
