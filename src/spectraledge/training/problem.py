"""R runs of one architecture as one function of stacked parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, jvp, vmap

from spectraledge.models import ModelSpec
from spectraledge.models.second_derivatives import twice_differentiable
from spectraledge.snapshots import Layout, flatten_parameters
from spectraledge.tasks import UNLABELLED
from spectraledge.training.batches import draw
from spectraledge.training.execution import Execution, compiled, compiled_operations
from spectraledge.training.groups import parameter_groups
from spectraledge.training.spec import RunSpec, batch_key
from spectraledge.training.stacked_data import StackedData

__all__ = ["Problem"]

# Hessian-vector products of one compiled call; five shared batches ask for four each.
VECTORS = 4


class Problem:
    """Loss, gradient and evaluation of R runs that share one architecture.

    Parameters are stacked as ``(R, P)``; the model is a plain module of one run, mapped over the
    run axis from outside by ``vmap``. Nothing mixes runs, so a run's numbers do not depend on
    its batch-mates, beyond the rounding of differently shaped matrix products.

    Args:
        specs: The runs; all with the same `batch_key`.
        execution: Device and compilation.

    Raises:
        ValueError: If the specs cannot share a batch.
    """

    def __init__(self, specs: Sequence[RunSpec], execution: Execution | None = None) -> None:
        _check_batch(specs)
        self.specs = tuple(specs)
        self.execution = execution or Execution()
        first = specs[0]
        self.network = _network(
            first.model,
            first.task.vocabulary,
            first.task.length,
            first.task.classes,
            first.compute,
            self.execution,
        )
        self.layout = self.network.layout
        self.groups = parameter_groups(self.network.skeleton)
        self.data = StackedData([s.task.dataset(s.data_seed) for s in specs], self.execution.device)

    @property
    def runs(self) -> int:
        """Number of runs R."""
        return len(self.specs)

    def initial_parameters(self) -> Tensor:
        """Freshly initialised parameters ``(R, P)``, each run from its own seed."""
        models = [
            s.model.build(
                vocabulary=s.task.vocabulary,
                length=s.task.length,
                classes=s.task.classes,
                seed=s.seed,
            )
            for s in self.specs
        ]
        return torch.stack([flatten_parameters(m) for m in models]).to(self.execution.device)

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        """Training examples of every run, a function of (run seed, step, salt).

        Args:
            step: Which batch, >= 0.
            salt: Purpose; use another one than ``train`` to measure.

        Returns:
            Tokens ``(R, B, T)`` and labels ``(R, B)``, or ``(R, B, L)`` of sequence tasks.
        """
        positions = [
            draw(len(train), s.batch_size, seed=s.seed, step=step, salt=salt, sampling=s.sampling)
            for s, train in zip(self.specs, self.data.train)
        ]
        rows = torch.stack([train[p] for train, p in zip(self.data.train, positions)])
        return self.data.rows(rows.to(self.execution.device))

    def gradient(
        self, theta: Tensor, tokens: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient of the mean cross-entropy of each run.

        Args:
            theta: Parameters ``(R, P)``.
            tokens: ``(R, B, T)``.
            labels: ``(R, B)``.

        Returns:
            Gradients ``(R, P)``, losses ``(R,)`` and accuracies ``(R,)``.
        """
        return self.network.gradient(theta, tokens, labels)

    def hessian_vector(
        self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        """Hessian of each run's mean cross-entropy, times K vectors, without differences.

        Args:
            theta: Parameters ``(R, P)``.
            tokens: ``(R, B, T)``.
            labels: ``(R, B)``.
            vectors: ``(R, K, P)``; all K share one evaluation of the loss and its gradient.

        Returns:
            ``(R, K, P)``.
        """
        return self.network.hessian_vector(theta, tokens, labels, vectors)

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        """Logits ``(R, B, classes)`` float32 at parameters ``(R, P)`` and tokens ``(R, B, T)``."""
        return self.network.logits(theta, tokens)

    def evaluate(self, theta: Tensor) -> dict[str, Tensor]:
        """Loss and accuracy on every part and subset of each run's data.

        Args:
            theta: Parameters ``(R, P)``.

        Returns:
            Named numbers ``(R,)`` float64, e.g. ``validation_accuracy`` or
            ``validation_accuracy_mirror``; NaN where a subset is empty. With a label for each of
            several outputs, accuracy and loss are means over labelled outputs, and
            ``sequence_accuracy`` is the share of rows with every output right.
        """
        losses, correct = [], []
        for tokens, labels in self.data.chunks():
            loss, hit = self.network.score(theta, tokens, labels)
            losses.append(loss)
            correct.append(hit)
        return self.data.means(torch.cat(losses, 1), torch.cat(correct, 1))


class _Network:
    """Compiled loss, gradient and scores of one architecture; shared by all its problems."""

    def __init__(self, skeleton: nn.Module, compute: str, execution: Execution) -> None:
        self.skeleton = skeleton
        self.layout = Layout.of(skeleton)
        self.compute = torch.bfloat16 if compute == "bfloat16" else torch.float32
        loss = partial(grad_and_value, has_aux=True)(self._loss)
        self._gradient = compiled(vmap(loss), execution)
        self._score = compiled(vmap(self._score_one), execution)
        self.compile = execution.compile
        self._product = vmap(self._hessian_vector)
        self._products = compiled_operations(self._product, execution)
        # Eager: compiling takes longer than the few calls that a measurement makes.
        self.logits = vmap(self._logits)

    def gradient(self, *arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gradient, (loss, accuracy) = self._gradient(*arguments)
        return gradient, loss, accuracy

    @torch.no_grad()
    def hessian_vector(
        self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        # Run by run and few vectors at a time, so that one compiled shape serves all.
        with twice_differentiable():
            runs = zip(theta.split(1), tokens.split(1), labels.split(1), vectors.split(1))
            return torch.cat([
                torch.cat([self._few_products(at, x, y, few) for few in own.split(VECTORS, 1)], 1)
                for at, x, y, own in runs
            ])  # fmt: skip

    def _few_products(
        self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        count = vectors.shape[1]
        # One vector alone is asked for too seldom to pay for a compilation of its own.
        if count == 1 or not self.compile:
            return self._product(theta, tokens, labels, vectors)
        padded = F.pad(vectors, (0, 0, 0, VECTORS - count))
        return self._products(theta, tokens, labels, padded)[:, :count]

    @torch.no_grad()
    def score(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        return self._score(*arguments)

    def _logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        parameters = self.layout.views(theta.to(self.compute))
        # Losses and probabilities always in float32: a bfloat16 softmax loses the tail.
        return functional_call(self.skeleton, parameters, (tokens,)).float()

    def _loss(self, theta: Tensor, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._logits(theta, tokens)
        correct = (logits.argmax(-1) == labels).float()
        several = labels.ndim > 1
        accuracy = correct.sum() / (labels != UNLABELLED).sum() if several else correct.mean()
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten()), accuracy

    def _hessian_vector(
        self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        def gradient(parameters: Tensor) -> Tensor:
            return grad(self._loss, has_aux=True)(parameters, tokens, labels)[0]

        def along(vector: Tensor) -> Tensor:
            return jvp(gradient, (theta,), (vector,))[1]

        return vmap(along)(vectors)

    def _score_one(self, theta: Tensor, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self._logits(theta, tokens)
        loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")
        return loss.reshape(labels.shape), logits.argmax(-1) == labels


@lru_cache(maxsize=16)
def _network(
    model: ModelSpec, vocabulary: int, length: int, classes: int, compute: str, execution: Execution
) -> _Network:
    skeleton = model.build(vocabulary=vocabulary, length=length, classes=classes, seed=0)
    return _Network(skeleton.to("meta"), compute, execution)


def _check_batch(specs: Sequence[RunSpec]) -> None:
    if not specs:
        raise ValueError("expected at least one run, got none")
    for run, spec in enumerate(specs):
        if batch_key(spec) != batch_key(specs[0]):
            raise ValueError(
                "expected runs that can share a batch (same model, update types, steps, batch "
                f"size, cadence), but run {run} differs from run 0:\n{spec}\n{specs[0]}"
            )
