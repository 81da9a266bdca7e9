"""Gradients and Hessian-vector products of any module and loss, by two backward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from spectraledge.models.failing_module import (
    check_second_derivative,
    explained_derivatives,
)
from spectraledge.models.gradient_cuts import cutting_module, without_path
from spectraledge.models.second_derivatives import twice_differentiable
from spectraledge.snapshots import Layout

__all__ = ["LossClosure"]

# How many of the modules that no gradient reaches a message names.
NAMED = 3


class LossClosure:
    """One module and a loss ``loss(model, batch)`` as a problem of one run.

    The module's parameters, buffers and gradients are left as they are: it is called with copies.

    Args:
        model: The module, in the mode to measure it in.
        loss: Maps the module and a batch to a scalar.
        owner: Who asks, for messages.
        layout: The parameters that it is a function of, all others being constants; every
            parameter of the module if None.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Any], Tensor],
        owner: str,
        layout: Layout | None = None,
    ) -> None:
        self.model = model
        self.owner = owner
        self.layout = Layout.of(model) if layout is None else layout
        self._objective = _Objective(model, loss)
        # Parameters that the loss was found not to depend on, as those of modules not called.
        self._idle: set[str] = set()

    def gradient(self, theta: Tensor, batch: Any, labels: None) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient ``(1, P)`` and loss ``(1,)``; there is no accuracy.

        Args:
            theta: Parameters ``(1, P)``.
            batch: What the loss takes.
            labels: Nothing; they are part of the batch.

        Returns:
            Gradient, loss, NaN. The gradient by what the loss does not depend on is zero.

        Raises:
            ValueError: If the loss is not a finite scalar or draws random numbers; if it depends on
                parameters that train and no gradient reaches them, or through rounding only,
                naming their module and the one that cuts the gradient. A detour around the cut,
                as of a straight-through estimator, is no error.
        """
        with self._explained(batch):
            flat, views, loss = self._loss(theta, batch)
            self._check_reached(theta, views, batch, loss)
            (gradient,) = torch.autograd.grad(loss, flat)
        return gradient, loss.detach()[None], torch.full_like(loss.detach(), torch.nan)[None]

    def hessian_vector(self, theta: Tensor, batch: Any, labels: None, vectors: Tensor) -> Tensor:
        """Products ``(1, K, P)``; one forward and one backward pass for all K.

        Args:
            theta: Parameters ``(1, P)``.
            batch: What the loss takes.
            labels: Nothing.
            vectors: ``(1, K, P)``.

        Returns:
            The Hessian of the loss times each vector.

        Raises:
            ValueError: If the loss has no second derivative; the message names the module at fault.
        """
        with self._explained(batch):
            flat, _, loss = self._loss(theta, batch)
            (gradient,) = torch.autograd.grad(loss, flat, create_graph=True)
            if not gradient.requires_grad:  # piecewise linear: all second derivatives are zero
                return torch.zeros_like(vectors)
            check_second_derivative(gradient)
            rows = [_product(gradient, flat, vector[None]) for vector in vectors[0]]
        return torch.cat(rows)[None]

    def _loss(self, theta: Tensor, batch: Any) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """The flat parameters to differentiate by, their views by name, and the loss."""
        flat = theta.detach().clone().requires_grad_()
        views = self.layout.views(flat[0])
        with self._without_chance(theta.device):
            loss = self._evaluated(views, batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"{self.owner}: expected a scalar loss, got {got}; take its mean")
        if not bool(torch.isfinite(loss)):
            raise ValueError(
                f"{self.owner}: expected a finite loss, got {loss.item()}; check the batch and "
                "the parameters"
            )
        return flat, views, loss.reshape(())

    def _evaluated(self, views: Mapping[str, Tensor], batch: Any) -> Any:
        named = {f"model.{name}": view for name, view in views.items()}
        buffers = {f"model.{n}": b.clone() for n, b in self.model.named_buffers()}
        return functional_call(self._objective, named | buffers, (batch,))

    def _check_reached(
        self, theta: Tensor, views: dict[str, Tensor], batch: Any, loss: Tensor
    ) -> None:
        """Refuse a loss that depends on parameters whose gradient torch leaves out."""
        train = {name for name, p in self.model.named_parameters() if p.requires_grad}
        lost = [n for n in without_path(loss, views) if n in train - self._idle]
        cut = [name for name in lost if self._depends_on(name, theta, batch)]
        self._idle |= set(lost) - set(cut)
        if not cut:
            return
        modules = dict(self.model.named_modules())
        owners = list(dict.fromkeys(name.rpartition(".")[0] for name in cut))
        named = ", ".join(
            f"{n or 'the model itself'!r} ({type(modules[n]).__name__})" for n in owners[:NAMED]
        )
        at_fault = cutting_module(self.model, lambda: self._loss(theta, batch)[2], cut)
        raise ValueError(
            f"{self.owner}: the loss depends on the parameters of module {named}, but no gradient "
            f"reaches them: {at_fault}; or freeze by requires_grad_(False) what is not to train"
        )

    @torch.no_grad()
    def _depends_on(self, name: str, theta: Tensor, batch: Any) -> bool:
        """Whether the loss is another one with random numbers in a parameter."""
        before, again = (self._evaluated(self.layout.views(theta[0]), batch) for _ in range(2))
        moved = theta.clone()
        values = moved[0, self.layout.span(name)]
        chance = torch.Generator().manual_seed(0)
        # Far away, since argmax and rounding hide small changes.
        drawn = torch.randn(values.shape, generator=chance).to(values)
        values.add_((1 + values.abs().max()) * drawn)
        try:
            after = self._evaluated(self.layout.views(moved[0]), batch)
        except Exception:  # an index out of range, say: it makes a difference
            return True
        # Equal, if the kernels sum in the same order every time; a NaN is another loss.
        return not bool((after - before).abs() <= 10 * (again - before).abs())

    @contextmanager
    def _without_chance(self, device: torch.device) -> Iterator[None]:
        """Refuse a loss that draws random numbers, and take back those that it drew."""
        before = _random_state(device)
        yield
        if torch.equal(_random_state(device), before):
            return
        (torch.cuda if device.type == "cuda" else torch).set_rng_state(before)
        drawing = _drawing_modules(self.model)
        raise ValueError(
            f"{self.owner}: expected a loss that is the same every time, but it draws random "
            f"numbers in {drawing or 'the loss function itself'}; call model.eval(), which "
            "switches dropout off"
        )

    @contextmanager
    def _explained(self, batch: Any) -> Iterator[None]:
        """Second derivatives switched on, and their absence explained."""
        explained = explained_derivatives(
            self.owner, lambda: self.model, lambda _: self._objective(batch)
        )
        with explained, torch.enable_grad(), twice_differentiable():
            yield


class _Objective(nn.Module):
    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)


def _random_state(device: torch.device) -> Tensor:
    on_gpu = device.type == "cuda"
    return torch.cuda.get_rng_state(device) if on_gpu else torch.get_rng_state()


def _drawing_modules(model: nn.Module) -> str:
    """Modules that switch weights off at random: dropout layers, and those that hold a rate."""
    found = []
    for name, module in model.named_modules():
        rate = getattr(module, "p" if "Dropout" in type(module).__name__ else "dropout", 0.0)
        if module.training and isinstance(rate, (int, float)) and rate > 0:
            found.append(f"module {name!r} ({type(module).__name__})")
    return ", ".join(found)


def _product(gradient: Tensor, flat: Tensor, vector: Tensor) -> Tensor:
    found: Sequence[Tensor | None] = torch.autograd.grad(
        gradient, flat, vector, retain_graph=True, allow_unused=True
    )
    return torch.zeros_like(flat) if found[0] is None else found[0]
