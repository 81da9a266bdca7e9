"""Curvature of the loss: extreme Hessian eigenvalues, and the curvature along given directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.block_basis import gradient_basis, singular_basis
from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.shape_batches import check_kinds
from spectraledge.linalg.lanczos import RitzValues, lanczos
from spectraledge.names import check_name
from spectraledge.snapshots import Snapshot
from spectraledge.weight_matrices import weight_matrices

__all__ = ["Curvature", "check_numbers", "curvature_along", "ends_of"]

# Measuring has batches of its own; they never touch the training stream.
SALT = "curvature"
ATTENTION = ("query", "key", "value", "attention_output")
TOGETHER = 8
BASES = {"singular": singular_basis, "gradient": gradient_basis}


def curvature_along(product: Callable[[Tensor], Tensor], directions: Tensor) -> Tensor:
    """Rayleigh quotients ``vᵀHv / vᵀv``.

    Args:
        product: Maps ``(R, K, P)`` to ``H v`` of the same shape.
        directions: ``(R, K, P)``, of any length.

    Returns:
        ``(R, K)`` float64, between the extreme eigenvalues; NaN for zero directions.

    Example:
        >>> H = torch.tensor([3.0, -1.0])
        >>> curvature_along(lambda v: v * H, torch.tensor([[[2.0, 0.0], [0.0, 5.0]]])).tolist()
        [[3.0, -1.0]]
    """
    # Unit vectors in: the square of a gradient of 1e-8 is lost to float32.
    length = directions.double().norm(dim=-1, keepdim=True)
    unit = directions / torch.where(length > 0, length, torch.nan)
    # Zero directions go in as zeros, so that a NaN cannot touch what shares their product.
    image = product(unit.nan_to_num(nan=0.0))
    return (unit.double() * image.double()).sum(-1)


@dataclass(frozen=True)
class Curvature(Instrument):
    """Extreme eigenvalues of the training Hessian and the curvature along telling directions.

    The Hessian is that of the mean loss over `batches` measuring batches. The start of the
    iteration is the same at every snapshot and run. Residuals include rounding in the type of the
    parameters, not what a network that computes in fewer bits adds.

    Args:
        eigenvalues: How many at each end, >= 1.
        iterations: Hessian-vector products for them, >= eigenvalues.
        batches: Batches averaged over, >= 1.
        basis: Directions per matrix, ``singular`` (of the weights) or ``gradient``.
        components: How many of them per matrix, >= 0; 0 leaves the output empty.
        kinds: Kinds of matrices for `basis`; empty for every matrix.

    Raises:
        ValueError: For an unknown basis or kind, or numbers out of range; at the first snapshot
            if the model has no such matrix.

    Cost: ``batches · (iterations + 2 + directions)`` Hessian-vector products, each about two
    gradients; ``iterations · P`` float64 numbers per run.

    Source: the eigenvalues are not in arXiv:2602.16746, whose text speaks of curvature all the
    same; Lanczos as in `spectraledge.linalg.lanczos`.
    """

    eigenvalues: int = 3
    iterations: int = 16
    batches: int = 1
    basis: str = "singular"
    components: int = 1
    kinds: tuple[str, ...] = ATTENTION

    name: ClassVar[str] = "curvature"
    history: ClassVar[int] = 2
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "largest": Output("largest Hessian eigenvalues", "loss/weight²", ("end",), each=True),
        "largest_residual": Output(
            "distance to an eigenvalue", "loss/weight²", ("end",), each=True
        ),
        "smallest": Output("smallest Hessian eigenvalues", "loss/weight²", ("end",), each=True),
        "smallest_residual": Output(
            "distance to an eigenvalue", "loss/weight²", ("end",), each=True
        ),
        "along_gradient": Output("gᵀHg / gᵀg", "loss/weight²"),
        "along_displacement": Output("ΔᵀHΔ / ΔᵀΔ, Δ the last move", "loss/weight²"),
        "along_basis": Output("vᵀHv along directions of matrices", "loss/weight²", ("direction",)),
    }

    def __post_init__(self) -> None:
        check_numbers("Curvature", self.eigenvalues, self.iterations)
        check_kinds("Curvature", self.kinds)
        check_name("basis for Curvature", self.basis, tuple(BASES))
        if self.batches < 1 or self.components < 0:
            raise ValueError(
                "Curvature: expected batches >= 1 and components >= 0, got "
                f"{self.batches} and {self.components}"
            )

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Places from the end of the spectrum, and names of the directions."""
        ends = tuple(str(place + 1) for place in range(self.eigenvalues))
        layout, flat = window.now.layout, window.now.parameters
        directions = tuple(
            f"{name}.{place + 1}"
            for name, matrix in weight_matrices(layout, self.kinds).items()
            for place in range(min(self.components, *matrix.view(flat, layout).shape[-2:]))
        )
        return {"end": ends, "direction": directions}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Eigenvalues and curvatures of the newest snapshot."""
        if window.problem is None:
            raise ValueError("curvature evaluates the model; pass Window(..., problem)")
        problem, theta = window.problem, window.now.parameters
        batches = [problem.batch(window.now.step, f"{SALT}{b}") for b in range(self.batches)]
        gradients = [problem.gradient(theta, *batch)[0].double() for batch in batches]
        gradient = torch.stack(gradients).mean(0)

        def product(vectors: Tensor) -> Tensor:
            several = vectors.to(theta.dtype).view(theta.shape[0], -1, theta.shape[1])
            images = [problem.hessian_vector(theta, *batch, several) for batch in batches]
            return torch.stack(images).double().mean(0).view_as(vectors)

        # One start for every run and step, so that changes are those of the Hessian.
        starts = (0,) * theta.shape[0]
        ritz = lanczos(
            product,
            theta.shape[1],
            seeds=starts,
            iterations=self.iterations,
            precision=theta.dtype,
        )
        along = curvature_along(product, torch.stack([gradient, _displacement(window)], 1))
        arrays = ends_of(ritz, self.eigenvalues) | {
            "along_gradient": along[:, 0],
            "along_displacement": along[:, 1],
            "along_basis": self._along_basis(product, window.now, gradient),
        }
        return {name: array.cpu() for name, array in arrays.items()}

    def _along_basis(
        self, product: Callable[[Tensor], Tensor], now: Snapshot, gradient: Tensor
    ) -> Tensor:
        if self.components == 0:
            return torch.zeros(now.runs, 0, dtype=torch.float64)
        source = now.parameters if self.basis == "singular" else gradient
        basis = BASES[self.basis](source, now.layout, self.kinds, self.components)
        units = torch.eye(basis.rank, dtype=torch.float64, device=source.device)
        # A few at a time: all of them at once would be the P × K matrix.
        pieces = [
            curvature_along(product, basis.embed(few.expand(now.runs, -1, -1)))
            for few in units.split(TOGETHER)
        ]
        return torch.cat(pieces, 1)


def _displacement(window: Window) -> Tensor:
    """Displacement since the snapshot before, zero at the first."""
    now = window.now.parameters.double()
    return torch.zeros_like(now) if window.before is None else now - window.before.parameters


def ends_of(ritz: RitzValues, count: int) -> dict[str, Tensor]:
    """Eigenvalues at both ends with their residuals, each ``(R, count)``."""
    largest, smallest = ritz.largest(count), ritz.smallest(count)
    return {
        "largest": largest.values,
        "largest_residual": largest.residuals,
        "smallest": smallest.values,
        "smallest_residual": smallest.residuals,
    }


def check_numbers(owner: str, eigenvalues: int, iterations: int) -> None:
    """Raise ValueError unless there are as many iterations as eigenvalues, and one at least."""
    if not 1 <= eigenvalues <= iterations:
        raise ValueError(
            f"{owner}: expected 1 <= eigenvalues <= iterations, got {eigenvalues} eigenvalues "
            f"from {iterations} iterations"
        )
