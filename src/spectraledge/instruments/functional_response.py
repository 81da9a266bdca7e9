"""What a small step along a direction of the weights changes in the representation of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.class_fourier import (
    check_order,
    class_fourier,
    class_means,
    class_order,
)
from spectraledge.instruments.labelled_tokens import (
    Inspectable,
    LabelledTokens,
    Rows,
    held_out_runs,
    inspected,
    run_representations,
)
from spectraledge.instruments.parameter_subset import (
    ATTENTION_WEIGHTS,
    check_subset,
    chosen_columns,
)
from spectraledge.instruments.probe_fits import probe_scores, targets_of
from spectraledge.instruments.representations import INPUT
from spectraledge.instruments.update_window import UpdateWindow
from spectraledge.names import check_name
from spectraledge.snapshots import Layout

__all__ = ["FunctionalResponse", "displaced_representations", "response_measures"]

AXES = ("direction",)
OTHERS = ("random", "weights")
SEED = 0


def displaced_representations(
    problem: Inspectable,
    layout: Layout,
    theta: Float64[Tensor, " P"],
    directions: Float64[Tensor, "K P"],
    size: float,
    rows: Rows,
    module: str,
) -> list[LabelledTokens | None]:
    """Changes ``Δh_k = h(θ + ε v_k) − h(θ)`` of one run's representation at each labelled token.

    Args:
        problem: Shows its model.
        layout: Of the parameters.
        theta: θ, in float64 so that the difference keeps its digits.
        directions: v_k, unit.
        size: ε.
        rows: Where to look.
        module: Whose output h is.

    Returns:
        The changes as features, one a direction; None for a direction that is not finite.
    """

    def at(point: Tensor) -> Tensor:
        return run_representations(problem, layout, point, rows.tokens, (module,))[module]

    start = at(theta)
    return [
        rows.labelled(at(theta + size * v) - start) if bool(v.isfinite().all()) else None
        for v in directions
    ]


def response_measures(
    change: LabelledTokens,
    *,
    categorical: bool = False,
    order: str = "natural",
    modulus: int | None = None,
    seeds: int = 3,
) -> dict[str, float]:
    """What the change along one direction depends on.

    Definition: ``f = ‖Δh‖²`` at each token. ``size`` is the root of its mean; ``token_ratio`` is
    its mean at the token of the lowest id over that at the token of the highest; for concentration,
    elevation and peak see `class_fourier`, of the means of f in each class of the label.
    ``published_score`` is the test R² of ridge (α = 1) from Δh to the label as a number, ``score``
    the scale-free one; see `probe_scores`. ``position_*`` are of the means of f at each position:
    the published spectrum keeps frequency 0, which has most whatever f is, since f >= 0;
    ``position_mean_share`` is its share of the power, the others are of the rest.

    Args:
        change: Δh at labelled tokens, as its features.
        categorical: Whether labels are names, for the scale-free score.
        order: Order of the classes, see `class_order`.
        modulus: For the order of discrete logarithms.
        seeds: Splits by row that ``score`` averages, >= 1.

    Returns:
        The outputs of `FunctionalResponse` for one direction.

    Source: arXiv:2604.07380, restated; the weighted and scale-free numbers are ours.
    """
    response = change.features.square().sum(1)
    classes = class_order(change.labels, order, modulus)
    means, counts = class_means(response, change.labels, classes)
    first, last = (
        response[change.tokens == token].mean()
        for token in (change.tokens.min(), change.tokens.max())
    )
    novel = change.novel()
    number = targets_of(change.labels, categorical=False)
    fixed = probe_scores(change.features, [number], "linear", protocol="published")[0]
    target = targets_of(novel.labels, categorical)
    free = [
        probe_scores(novel.features, [target], "linear", sequence=novel.sequence, seed=seed)[0]
        for seed in range(seeds)
    ]
    return {
        "size": response.mean().sqrt().item(),
        "token_ratio": (first / last).item(),
        **{name: value.item() for name, value in class_fourier(means, counts).items()},
        **_position_waves(response, change.position),
        "published_score": fixed.r_squared,
        "score": sum(score.r_squared for score in free) / seeds,
    }


def _position_waves(response: Tensor, position: Tensor) -> dict[str, float]:
    """The spectrum over positions of the mean response at each."""
    means, counts = class_means(response, position, position.unique())
    found = class_fourier(means, counts)
    power = torch.fft.rfft(means).abs().square()
    share = power[0] / torch.where(found["peak"].isfinite(), power.sum(), nan)
    return {
        "position_mean_share": share.item(),
        "position_concentration": found["concentration"].item(),
        "position_peak": found["peak"].item(),
    }


@dataclass(frozen=True)
class FunctionalResponse(Instrument):
    """Response of a representation along the spectral edge, a random direction and the weights.

    Steps of ``ε = step ‖θ‖`` of the chosen weights, along the leading directions v_1 … of the last
    W displacements, a random unit direction, and the weights themselves (``weights``: θ/‖θ‖). The
    last two are what any number of v_k counts against. On request also the entries of ``v_1`` that
    are in one kind of matrix, as long as they are and not scaled up, and those of the others.

    Args:
        window: W >= 1 displacements.
        count: Directions v_1 … v_count, 1 to W.
        module: Whose output is looked at; the residual stream behind the last norm is published.
        step: ε over the norm of the weights, > 0.
        kinds: Kinds of matrices that directions live in; empty for every weight matrix.
        rows: Held-out rows, >= 1; 300 are published for Dyck-1, 150 for SCAN.
        categorical: Whether labels are names and not numbers.
        order: Order of the label's classes: ``natural`` for depths and sums modulo p,
            ``discrete_logarithm`` for products modulo a prime.
        modulus: The prime, for the latter.
        seeds: Splits by row that the scale-free score averages.
        padding: See `RepresentationProbe`.
        blocks: Kinds of matrices whose part of each direction is looked at by itself.

    Raises:
        ValueError: For unknown names or numbers out of range; at the first snapshot for an unknown
            module, or if the model has no such matrix.

    Cost: ``count + 3`` forward passes in float64; 2 s a run for Dyck-1, 30 s for 150 rows of SCAN.

    Source: arXiv:2604.07380, restated. Differs from the published code in float64, in the sign of
    v_k (towards the last displacement) and in one random direction that is the same at every step.
    """

    window: int = 5
    count: int = 4
    module: str = "final_norm"
    step: float = 0.005
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS
    rows: int = 300
    categorical: bool = False
    order: str = "natural"
    modulus: int | None = None
    seeds: int = 3
    padding: int | None = None
    blocks: tuple[str, ...] = ()

    name: ClassVar[str] = "functional_response"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        name: Output(meaning, unit, AXES, each=True)
        for name, meaning, unit in (
            ("size", "root mean square of ‖Δh‖ over tokens", "representation"),
            ("token_ratio", "mean ‖Δh‖² at the lowest token id over that at the highest", "1"),
            ("concentration", "largest share of one frequency over classes", "1"),
            ("elevation", "concentration times the number of frequencies", "1"),
            ("peak", "frequency over classes that has most", "1"),
            ("weighted_concentration", "share of the variance over tokens in one frequency", "1"),
            ("weighted_peak", "frequency that explains most of it", "1"),
            ("position_mean_share", "share of frequency 0 over positions in the power", "1"),
            ("position_concentration", "largest share of another frequency in the rest", "1"),
            ("position_peak", "that frequency, in periods over the positions", "1"),
            ("published_score", "test R² of ridge from Δh to the label, fixed penalty", "1"),
            ("score", "test R² of the scale-free ridge, mean over splits", "1"),
        )
    }

    def __post_init__(self) -> None:
        check_subset("FunctionalResponse", self.kinds)
        if self.blocks:
            check_subset("FunctionalResponse", self.blocks)
        if not 1 <= self.count <= self.window:
            raise ValueError(
                f"FunctionalResponse: expected 1 <= count <= window, got {self.count} directions "
                f"of {self.window} displacements"
            )
        if self.step <= 0 or self.rows < 1 or self.seeds < 1:
            raise ValueError(
                "FunctionalResponse: expected step > 0, rows >= 1 and seeds >= 1, got "
                f"{self.step}, {self.rows} and {self.seeds}"
            )
        check_order("FunctionalResponse", self.order, self.modulus)

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of W displacements."""
        return self.window + 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the directions."""
        whole = (*(f"v{k + 1}" for k in range(self.count)), *OTHERS)
        parts = (f"{name} {kind}" for kind in self.blocks for name in ("v1", *OTHERS))
        return {"direction": (*whole, *parts)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Responses of the newest snapshot."""
        problem, now = inspected(self.name, window), window.now
        # Without a name the published one is looked for, which few models have.
        names = tuple(name for name, _ in problem.skeleton.named_modules() if name)
        if own := self.module.removesuffix(INPUT):
            check_name("module of FunctionalResponse(module=...)", own, names)
        columns = chosen_columns(now.layout, self.kinds)
        every = self._directions(window, columns)
        rows = held_out_runs(problem, self.rows, self.padding)
        runs = []
        for theta, labelled, directions in zip(now.parameters.double(), rows, every):
            whole = theta.new_zeros(len(directions), now.layout.size)
            whole[:, columns] = directions
            size = self.step * theta[columns].norm().item()
            changes = displaced_representations(
                problem, now.layout, theta, whole, size, labelled, self.module
            )
            runs.append([self._measures(change) for change in changes])
        return {
            name: torch.tensor(
                [[along[name] for along in run] for run in runs], dtype=torch.float64
            )
            for name in self.outputs
        }

    def _measures(self, change: LabelledTokens | None) -> dict[str, float]:
        if change is None or not len(change.labels):
            return dict.fromkeys(self.outputs, nan)
        return response_measures(
            change,
            categorical=self.categorical,
            order=self.order,
            modulus=self.modulus,
            seeds=self.seeds,
        )

    def _directions(self, window: Window, columns: Tensor) -> Tensor:
        """Directions in the order of their labels ``(R, K, D)``, NaN where there is none."""
        layout = window.now.layout
        weights = window.now.parameters[:, columns].double()
        generator = torch.Generator().manual_seed(SEED)
        random = torch.randn(weights.shape[1], generator=generator, dtype=torch.float64)
        others = torch.stack([random.to(weights).expand_as(weights), weights], 1)
        others = others / others.norm(dim=-1, keepdim=True)
        leading = weights.new_full((len(weights), self.count, weights.shape[1]), nan)
        if len(window.snapshots) > 1:
            edge = UpdateWindow.of(window.snapshots, self.kinds, self.window)
            found = edge.directions(min(self.count, edge.width))
            last = (edge.points[-1].double() - edge.points[-2].double())[:, None]
            sign = torch.where((found * last).sum(-1, keepdim=True) < 0, -1.0, 1.0)
            leading[:, : found.shape[1]] = found * sign
        every = torch.cat([leading, others], 1)
        parts = every[:, [0, self.count, self.count + 1]]
        inside = [torch.isin(columns, chosen_columns(layout, (kind,))) for kind in self.blocks]
        return torch.cat([every, *(parts * kept.to(parts) for kept in inside)], 1)
