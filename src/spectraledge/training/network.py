"""Loss, gradient and curvature of one architecture, compiled, for any number of runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, jvp, vmap
from torch.utils._pytree import tree_map

from spectraledge.models.lines import Answers, Packing
from spectraledge.models.second_derivatives import twice_differentiable
from spectraledge.snapshots import Layout
from spectraledge.tasks import UNLABELLED
from spectraledge.training.execution import Execution, compiled, compiled_operations

__all__ = ["Inputs", "Network"]

# Tokens of a batch, or the same batch packed.
Inputs = Tensor | Packing
# Hessian-vector products of one compiled call; five shared batches ask for four each.
VECTORS = 4


class Network:
    """One architecture as functions of stacked parameters; shared by all its problems.

    Args:
        skeleton: The model of one run; its own parameters are never used.
        outputs: Axes of its logits between rows and classes: ``()`` for one output a row.
        compute: ``float32`` or ``bfloat16``.
        execution: Device and compilation.
    """

    def __init__(
        self, skeleton: nn.Module, outputs: tuple[int, ...], compute: str, execution: Execution
    ) -> None:
        self.skeleton, self.outputs = skeleton, outputs
        self.layout = Layout.of(skeleton)
        self.compute = torch.bfloat16 if compute == "bfloat16" else torch.float32
        self._answers = Answers(skeleton)
        self._plain_gradient = vmap(partial(grad_and_value, has_aux=True)(self._loss))
        self._gradient = compiled(self._plain_gradient, execution)
        self._score = compiled(vmap(self._score_one), execution)
        self.compile = execution.compile
        self._product = vmap(self._hessian_vector)
        self._products = compiled_operations(self._product, execution)
        # Eager: compiling takes longer than the few calls that a measurement makes.
        self.logits = vmap(self._logits)
        self._compiled_logits = compiled(self.logits, execution)

    def gradient(
        self, theta: Tensor, inputs: Inputs, labels: Tensor, usual: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients ``(R, P)``, losses ``(R,)`` and accuracies ``(R,)``.

        Args:
            theta: Parameters ``(R, P)``.
            inputs: Tokens ``(R, B, T)``, or their packing.
            labels: ``(R, B, *outputs)``.
            usual: Whether more inputs have this shape, so that compiling pays.

        Returns:
            Of the mean cross-entropy over labels.
        """
        call = self._gradient if usual else self._plain_gradient
        gradient, (loss, accuracy) = call(theta, inputs, labels)
        return gradient, loss, accuracy

    @torch.no_grad()
    def hessian_vector(
        self, theta: Tensor, inputs: Inputs, labels: Tensor, vectors: Tensor, usual: bool = True
    ) -> Tensor:
        """Hessians times vectors ``(R, K, P)``; arguments as of `gradient`."""
        # Run by run and few vectors at a time, so that one compiled shape serves all.
        with twice_differentiable():
            products = [
                self._few_products(at, x, y, few, usual)
                for at, x, y, own in _each_run(theta, inputs, labels, vectors)
                for few in own.split(VECTORS, 1)
            ]
        return torch.cat(products, 1).unflatten(1, (len(theta), -1)).squeeze(0)

    def _few_products(
        self, theta: Tensor, inputs: Inputs, labels: Tensor, vectors: Tensor, usual: bool
    ) -> Tensor:
        count = vectors.shape[1]
        # One vector alone is asked for too seldom to pay for a compilation of its own.
        if count == 1 or not self.compile or not usual:
            return self._product(theta, inputs, labels, vectors)
        padded = F.pad(vectors, (0, 0, 0, VECTORS - count))
        return self._products(theta, inputs, labels, padded)[:, :count]

    @torch.no_grad()
    def score(self, theta: Tensor, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of every output, and whether it is right, of rows ``(R, B, T)``."""
        return self._score(theta, tokens, labels)

    @torch.no_grad()
    def compiled_logits(self, theta: Tensor, inputs: Inputs) -> Tensor:
        """Logits of a shape that is asked for often."""
        return self._compiled_logits(theta, inputs)

    def _logits(self, theta: Tensor, inputs: Inputs) -> Tensor:
        parameters = self.layout.views(theta.to(self.compute))
        if not isinstance(inputs, Packing):
            # Losses and probabilities always in float32: a bfloat16 softmax loses the tail.
            return functional_call(self.skeleton, parameters, (inputs,)).float()
        inner = {f"model.{name}": view for name, view in parameters.items()}
        return functional_call(self._answers, inner, (inputs,)).float()

    def _loss(self, theta: Tensor, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._logits(theta, inputs)
        correct = (logits.argmax(-1) == labels).float()
        several = labels.ndim > 1
        accuracy = correct.sum() / (labels != UNLABELLED).sum() if several else correct.mean()
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten()), accuracy

    def _hessian_vector(
        self, theta: Tensor, inputs: Inputs, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        def gradient(parameters: Tensor) -> Tensor:
            return grad(self._loss, has_aux=True)(parameters, inputs, labels)[0]

        def along(vector: Tensor) -> Tensor:
            return jvp(gradient, (theta,), (vector,))[1]

        return vmap(along)(vectors)

    def _score_one(self, theta: Tensor, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._logits(theta, tokens)
        loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")
        return loss.reshape(labels.shape), logits.argmax(-1) == labels


def _each_run(*batched: Any) -> Iterator[tuple[Any, ...]]:
    """The same arguments for one run after the other, each with a run axis of one."""
    for run in range(len(batched[0])):
        yield tree_map(lambda x, run=run: x[run : run + 1], batched)
