"""What the model loses along directions of its last updates, of its weights, and of chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.curvature import curvature_along
from spectraledge.instruments.functional_site import (
    FunctionalSite,
    check_counts,
    direction_names,
)
from spectraledge.instruments.parameter_subset import ATTENTION_WEIGHTS, check_subset
from spectraledge.names import check_name

__all__ = ["PerturbationCurve", "directional_curvature", "perturbation_curve"]

STEPS = ("relative", "published")
CURVATURES = ("exact", "published")
# The published displacements reach this far, whatever the length of the weights.
PUBLISHED_REACH = 0.03
# Smallest and largest relative displacement, as powers of ten.
RELATIVE_EXPONENTS = (-3, 0)
# Length of the published second differences, relative to the weights.
DIFFERENCE = 1e-3
# Hessian-vector products at a time.
TOGETHER = 4
CURVE = ("direction", "displacement")
MEASURES = ("loss", "accuracy", "divergence")


def displacement_levels(steps: str, points: int) -> Float64[Tensor, " E"]:
    """Signed displacements, smallest first and 0 in the middle.

    Args:
        steps: ``relative``, logarithmic from 1e-3 to 1 on either side, in units of ``‖θ‖``; or
            ``published``, linear from −0.03 to 0.03, in units of the weights.
        points: How many E, odd and >= 3.

    Returns:
        ``(E,)``.

    Raises:
        ValueError: For other steps, or an even or smaller number.

    Example:
        >>> displacement_levels("relative", 5).tolist()
        [-1.0, -0.001, 0.0, 0.001, 1.0]
    """
    check_name("displacements of PerturbationCurve", steps, STEPS)
    if points < 3 or points % 2 == 0:
        raise ValueError(
            f"expected an odd number of points >= 3, got {points}; 0 is one of them and the rest "
            "are as many on either side"
        )
    if steps == "published":
        side = torch.linspace(0, PUBLISHED_REACH, points // 2 + 1, dtype=torch.float64)[1:]
    else:
        side = torch.logspace(*RELATIVE_EXPONENTS, points // 2, dtype=torch.float64)
    return torch.cat([-side.flip(0), side.new_zeros(1), side])


def level_names(steps: str, points: int) -> tuple[str, ...]:
    """Names of `displacement_levels`, as labels and curves have them."""
    return tuple(f"{level:.4g}" for level in displacement_levels(steps, points).tolist())


def displacement_sizes(site: FunctionalSite, steps: str, points: int) -> Float64[Tensor, "R E"]:
    """`displacement_levels` of every run in units of the weights."""
    levels = displacement_levels(steps, points).to(site.vector)
    sizes = levels * site.norm[:, None] if steps == "relative" else levels
    return sizes.expand(len(site.vector), -1)


def perturbation_curve(
    site: FunctionalSite,
    directions: Sequence[Float64[Tensor, "R D"]],
    displacements: Float64[Tensor, "R E"],
) -> dict[str, Float64[Tensor, "R K E"]]:
    """Loss, accuracy and divergence at ``θ + ε_e d_k``.

    Args:
        site: θ and where to evaluate.
        directions: K unit vectors d_k of the chosen weights.
        displacements: ε_e, in units of the weights; where one is 0 for every run, θ is evaluated
            once for all directions.

    Returns:
        The three of them by name; NaN along directions that are NaN.
    """
    # A run whose θ is NaN, and its displacements with it, must not decide for the others.
    moving = displacements.nan_to_num(nan=0.0).ne(0).any(0)
    points = (
        site.vector + size[:, None] * direction
        for direction in directions
        for size in displacements[:, moving].unbind(1)
    )
    found = site.outcomes(points)
    known = torch.stack([direction.isfinite().all(-1) for direction in directions], 1)
    curves = {}
    for name in MEASURES:
        base, moved = getattr(found, name).tensor_split([1], 1)
        still = torch.where(known, base, torch.nan).unsqueeze(-1)
        curves[name] = still.repeat(1, 1, len(moving))
        curves[name][..., moving] = moved.unflatten(1, (len(directions), -1))
    return curves


def directional_curvature(
    site: FunctionalSite, directions: Sequence[Float64[Tensor, "R D"]], method: str = "exact"
) -> Float64[Tensor, "R K"]:
    """Curvature ``dᵀHd`` of the held-out loss along unit directions.

    Args:
        site: θ and where to evaluate.
        directions: K unit vectors of the chosen weights.
        method: ``exact``, by Hessian-vector products; or ``published``,
            ``(L(θ + εd) + L(θ − εd) − 2L(θ))/ε²`` with ``ε = 0.001 ‖θ‖``, which in float32 has an
            error of about 1e-7/ε².

    Returns:
        ``(R, K)`` in loss/weight²; NaN for directions that are NaN.

    Raises:
        ValueError: For another method.

    Source: arXiv:2604.07380, "directional Hessian", differences only.
    """
    check_name("curvature", method, CURVATURES)
    if method == "published":
        return _second_difference(site, directions)

    def product(vectors: Tensor) -> Tensor:
        return site.problem.hessian_vector(site.theta, *site.labelled, vectors.to(site.theta))

    # A few at a time: all of them at once would be the P × K matrix.
    groups = [directions[k : k + TOGETHER] for k in range(0, len(directions), TOGETHER)]
    return torch.cat([curvature_along(product, site.embed(group)) for group in groups], 1)


def _second_difference(site: FunctionalSite, directions: Sequence[Tensor]) -> Tensor:
    size = DIFFERENCE * site.norm[:, None]
    levels = torch.cat([-size, torch.zeros_like(size), size], 1)
    loss = perturbation_curve(site, directions, levels)["loss"]
    return (loss[..., 0] + loss[..., 2] - 2 * loss[..., 1]) / size.square()


@dataclass(frozen=True)
class PerturbationCurve(Instrument):
    """Loss, accuracy and divergence against displacement along v_k, ``θ/‖θ‖`` and random units.

    θ is the vector of the chosen weights and everything else stays as it is. v_k is turned so that
    a positive displacement lengthens θ.

    The published displacements, up to 0.03 whatever ``‖θ‖`` is, are 0.1 to 0.4 % of the attention
    weights of the published model; any direction is flat there. The default goes from 0.1 % to
    the length of θ, and the curves of a random direction and of θ itself stand beside.

    Args:
        steps: ``relative`` or ``published``; see `displacement_levels`.
        points: Displacements E, odd and >= 3; 0 is one of them.
        curvature: ``exact`` or ``published``; see `directional_curvature`.
        directions: K >= 1 leading directions of the window; missing ones are NaN.
        random: Random directions, >= 1, new ones at every snapshot, the same for all runs.
        window: Updates W >= directions; shorter at the start.
        rows: Held-out rows, >= 1, from the first on.
        seed: Of the random directions.
        kinds: Kinds of matrices that make up θ; empty for every weight matrix.

    Raises:
        ValueError: For unknown names, or numbers out of range; at the first snapshot if the model
            has no such matrix.

    Cost: (E − 1) (K + 1 + random) + 1 forward passes over the distinct rows, and a Hessian-vector
    product over all rows for each direction.

    Source: arXiv:2604.07380, perturbation curves and directional Hessian. Differs by the relative
    displacements, the exact curvature, and the random and θ directions, which the paper lacks.
    """

    steps: str = "relative"
    points: int = 25
    curvature: str = "exact"
    directions: int = 4
    random: int = 3
    window: int = 5
    rows: int = 200
    seed: int = 0
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "perturbation_curve"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "displacement": Output("ε", "weight", ("displacement",)),
        "relative_displacement": Output("ε / ‖θ‖", axes=("displacement",)),
        "loss": Output("held-out loss at θ + ε d", "loss", CURVE, each=True),
        "accuracy": Output("held-out accuracy at θ + ε d", axes=CURVE, each=True),
        "divergence": Output("KL(p_θ ‖ p_{θ + ε d})", "nat", CURVE, each=True),
        "largest_divergence": Output("largest divergence", "nat", ("direction",), each=True),
        "curvature": Output("dᵀHd of the held-out loss", "loss/weight²", ("direction",), each=True),
    }

    def __post_init__(self) -> None:
        check_subset("PerturbationCurve", self.kinds)
        displacement_levels(self.steps, self.points)
        check_name("curvature of PerturbationCurve", self.curvature, CURVATURES)
        check_counts(self, "directions", "random", "rows")

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of one window."""
        return self.window + 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the directions, and displacements as they were asked for."""
        return {
            "direction": direction_names(self.directions, self.random),
            "displacement": level_names(self.steps, self.points),
        }

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Curves and curvatures at the newest snapshot."""
        site = FunctionalSite.of(self, window)
        directions = site.compared(self.random, seed=self.seed, step=window.now.step)
        size = displacement_sizes(site, self.steps, self.points)
        curves = perturbation_curve(site, directions, size)
        arrays = curves | {
            "displacement": size,
            "relative_displacement": size / site.norm[:, None],
            "largest_divergence": curves["divergence"].amax(-1),
            "curvature": directional_curvature(site, directions, self.curvature),
        }
        return {name: array.cpu() for name, array in arrays.items()}
