"""Where functional instruments stand: chosen weights of a snapshot, directions, held-out rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.base import Differentiable, Window
from spectraledge.instruments.held_out_rows import HeldOutRows
from spectraledge.instruments.parameter_subset import chosen_columns
from spectraledge.instruments.update_window import UpdateWindow
from spectraledge.instruments.weight_outcomes import Outcomes, outcomes
from spectraledge.updates.random_streams import generator

__all__ = [
    "FunctionalSettings",
    "FunctionalSite",
    "check_counts",
    "direction_names",
    "random_units",
]


@runtime_checkable
class FunctionalSettings(Protocol):
    """What the functional instruments have in common.

    ``kinds`` are the kinds of matrices whose entries make up θ, empty for every weight matrix;
    ``window`` is the number of updates that ``directions`` leading directions are taken from;
    ``rows`` is the number of held-out rows.
    """

    name: ClassVar[str]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of matrices."""

    @property
    def window(self) -> int:
        """Updates in the window."""

    @property
    def directions(self) -> int:
        """Leading directions."""

    @property
    def rows(self) -> int:
        """Held-out rows."""


def check_counts(settings: FunctionalSettings, *names: str) -> None:
    """Raise unless the named fields are at least 1, and the window holds the directions.

    Args:
        settings: The instrument.
        *names: Of its fields.

    Raises:
        ValueError: Otherwise; the message names the field.
    """
    owner = type(settings).__name__
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{owner}: expected {name} >= 1, got {getattr(settings, name)}")
    if settings.window < settings.directions:
        raise ValueError(
            f"{owner}: expected window >= directions, got {settings.window} updates for "
            f"{settings.directions} directions; widen the window or ask for fewer"
        )


def direction_names(leading: int, random: int) -> tuple[str, ...]:
    """Names of the directions of `FunctionalSite.compared`.

    Args:
        leading: How many v_k.
        random: How many random ones.

    Returns:
        The names.

    Example:
        >>> direction_names(2, 1)
        ('v1', 'v2', 'theta', 'random1')
    """
    return (
        *(f"v{k + 1}" for k in range(leading)),
        "theta",
        *(f"random{k + 1}" for k in range(random)),
    )


def random_units(size: int, *, seed: int, step: int) -> Iterator[Float64[Tensor, " D"]]:
    """Uniformly random unit vectors without end, a function of seed and step alone.

    Args:
        size: Dimensions D.
        seed: Of the instrument.
        step: Of the snapshot.

    Yields:
        One vector ``(D,)`` after the other.
    """
    stream = generator(seed, "functional", step)
    while True:
        # Four times as fast as drawing in float64, and as random.
        drawn = torch.randn(size, generator=stream).double()
        yield drawn / drawn.norm()


@dataclass(frozen=True, eq=False)
class FunctionalSite:
    """A snapshot's chosen weights θ, the leading directions of the last updates, and rows.

    Args:
        problem: Evaluates the model.
        theta: All parameters ``(R, P)``.
        columns: Columns ``(D,)`` of the chosen weights.
        vector: θ, the chosen weights ``(R, D)`` float64.
        directions: Unit v_k ``(R, K, D)`` with ``⟨θ, v_k⟩ >= 0``; NaN where the window has none.
        singular_values: σ_k ``(R, K)``, likewise.
        oldest: The chosen weights at the start of the window ``(R, D)``.
        labelled: Held-out tokens and labels, as the problem gives them.
        rows: The distinct ones of these.
    """

    problem: Differentiable
    theta: Tensor
    columns: Tensor
    vector: Tensor
    directions: Tensor
    singular_values: Tensor
    oldest: Tensor
    labelled: tuple[Tensor, Tensor]
    rows: HeldOutRows

    @classmethod
    def of(cls, settings: FunctionalSettings, window: Window) -> FunctionalSite:
        """The site at the newest snapshot; instruments that agree about it share one.

        Args:
            settings: The instrument that asks.
            window: Snapshots with a problem.

        Returns:
            The site.

        Raises:
            ValueError: If the window has no problem, or the model no such matrix.
        """
        kinds, width, rows = settings.kinds, settings.window, settings.rows
        if window.problem is None:
            raise ValueError(f"{settings.name} evaluates the model; pass Window(..., problem)")
        key = ("functional_site", kinds, width, settings.directions, rows)
        if key not in window.shared:
            theta, columns = window.now.parameters, chosen_columns(window.now.layout, kinds)
            vector = theta[:, columns].double()
            oldest = window.snapshots[-width - 1 :][0].parameters[:, columns].double()
            found = _directions(window, kinds, width, settings.directions, vector)
            labelled = window.problem.held_out(rows)
            distinct = HeldOutRows.of(*labelled)
            window.shared[key] = cls(
                window.problem, theta, columns, vector, *found, oldest, labelled, distinct
            )
        site: FunctionalSite = window.shared[key]
        return site

    @property
    def norm(self) -> Tensor:
        """``‖θ‖``, ``(R,)`` float64."""
        return self.vector.norm(dim=-1)

    @property
    def unit(self) -> Tensor:
        """``θ / ‖θ‖``, ``(R, D)``; NaN for zero."""
        return self.vector / torch.where(self.norm > 0, self.norm, torch.nan).unsqueeze(-1)

    def random(self, *, seed: int, step: int) -> Iterator[Tensor]:
        """Random unit directions ``(R, D)``, the same for every run, without end."""
        for drawn in random_units(len(self.columns), seed=seed, step=step):
            yield drawn.to(self.vector.device).expand_as(self.vector)

    def compared(self, random: int, *, seed: int, step: int) -> list[Tensor]:
        """Unit directions ``(R, D)``: K leading ones v_k, then ``θ/‖θ‖``, then random ones."""
        drawn = islice(self.random(seed=seed, step=step), random)
        return [*self.directions.unbind(1), self.unit, *drawn]

    def outcomes(self, points: Iterable[Tensor]) -> Outcomes:
        """What the model does with θ as it is, then at each of the points ``(R, D)``."""
        return outcomes(self.problem, self.theta, self.columns, points, self.rows)

    def embed(self, directions: Sequence[Tensor]) -> Tensor:
        """K directions ``(R, D)`` of θ as vectors of all parameters ``(R, K, P)``."""
        whole = self.vector.new_zeros(len(self.vector), len(directions), self.theta.shape[1])
        whole[..., self.columns] = torch.stack(list(directions), 1)
        return whole


def _directions(
    window: Window, kinds: tuple[str, ...], width: int, count: int, vector: Tensor
) -> tuple[Tensor, Tensor]:
    """Directions ``(R, K, D)`` turned towards θ and their σ ``(R, K)``, NaN where there is none."""
    found = vector.new_full((len(vector), count, vector.shape[1]), torch.nan)
    values = vector.new_full((len(vector), count), torch.nan)
    if len(window.snapshots) > 1:
        updates = UpdateWindow.of(window.snapshots, kinds, width)
        there = min(count, updates.width)
        found[:, :there] = updates.directions(there).to(vector)
        values[:, :there] = updates.spectrum.values[:, :there].to(vector)
    # Their signs are arbitrary; this one makes curves of different snapshots comparable.
    along = (found @ vector.unsqueeze(-1)).squeeze(-1)
    return torch.where(along.unsqueeze(-1) < 0, -found, found), values
