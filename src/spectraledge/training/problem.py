"""R runs of one architecture as one function of stacked parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn

from spectraledge.models import ModelSpec
from spectraledge.models.failing_module import explained_derivatives
from spectraledge.models.lines import PackedModel
from spectraledge.snapshots import flatten_parameters
from spectraledge.training.batches import draw
from spectraledge.training.execution import Execution
from spectraledge.training.groups import parameter_groups
from spectraledge.training.network import Inputs, Network
from spectraledge.training.packer import Packer
from spectraledge.training.row_logits import RowLogits
from spectraledge.training.row_pieces import rows_at_a_time, sum_of_pieces
from spectraledge.training.scores import PackedScores, RowScores
from spectraledge.training.spec import RunSpec, batch_key
from spectraledge.training.stacked_data import StackedData

__all__ = ["Problem"]


class Problem:
    """Loss, gradient and evaluation of R runs that share one architecture.

    Parameters are stacked as ``(R, P)``; the model is a plain module of one run, mapped over the
    run axis from outside by ``vmap``. Nothing mixes runs, so a run's numbers do not depend on
    its batch-mates, beyond the rounding of differently shaped matrix products.

    Args:
        specs: The runs; all with the same `batch_key`.
        execution: Device and compilation.

    Raises:
        ValueError: If the specs cannot share a batch, or the model has another number of outputs
            than the rows of a task have labels.
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
        datasets = [spec.task.dataset(spec.data_seed) for spec in specs]
        for spec, data in zip(specs, datasets):
            _check_outputs(spec, self.network.outputs, data.labels)
        self.data = StackedData(datasets, self.execution.device)

    @property
    def runs(self) -> int:
        """Number of runs R."""
        return len(self.specs)

    @property
    def skeleton(self) -> nn.Module:
        """The model of one run without parameters of its own; give it those of a run."""
        return self.network.skeleton

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of the outputs where they are answers about the row; empty if of positions."""
        return self.data.answers

    def initial_parameters(self) -> Tensor:
        """Freshly initialised parameters ``(R, P)``, each run from its own seed."""
        models = map(self._model, self.specs)
        return torch.stack([flatten_parameters(m) for m in models]).to(self.execution.device)

    @staticmethod
    def _model(spec: RunSpec) -> nn.Module:
        """A model as a run starts with."""
        task = spec.task
        return spec.model.build(
            vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=spec.seed
        )

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        """Training examples of every run, a function of (run seed, step, salt).

        Args:
            step: Which batch, >= 0.
            salt: Purpose; use another one than ``train`` to measure.

        Returns:
            Tokens ``(R, B, T)`` and labels ``(R, B)``, or ``(R, B, L)`` of sequence tasks.
        """
        seeds = [spec.seed for spec in self.specs]
        return self._batch(self.specs[0].batch_size, step, salt, seeds)

    def _batch(
        self, size: int, step: int, salt: str, seeds: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        sampling = self.specs[0].sampling
        rows = [
            train[draw(len(train), size, seed=seed, step=step, salt=salt, sampling=sampling)]
            for train, seed in zip(self.data.train, seeds)
        ]
        return self.data.rows(torch.stack(rows).to(self.execution.device))

    def held_out(self, rows: int) -> tuple[Tensor, Tensor]:
        """The first held-out rows of every run: validation in its order, then test in its order.

        For tasks that repeat the published data these are the first published test rows. A run
        with fewer than the others is filled up with rows of no label, so that it stays itself.

        Args:
            rows: How many, >= 1; all if there are fewer.

        Returns:
            Tokens ``(R, B, T)`` and labels ``(R, B)``, or ``(R, B, L)`` of sequence tasks.

        Raises:
            ValueError: For fewer than one row.
        """
        if rows < 1:
            raise ValueError(f"held_out: expected rows >= 1, got {rows}; ask for at least one row")
        return self.data.first_held_out(rows)

    def occurs_in_training(self, tokens: Tensor) -> Tensor:
        """Which rows ``(R, B, T)`` equal a training row of their run, ``(R, B)``."""
        return self.data.occurs_in_training(tokens)

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
        return self.network.gradient(theta, *self._packed(tokens, labels))

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
            ``(R, K, P)``. Batches that would take too much memory are cut into pieces of rows.

        Raises:
            ValueError: If the model has no second derivative; the message names the module.
        """
        # A model with values is needed to find what fails.
        explained = explained_derivatives(
            "hessian_vector",
            lambda: self._model(self.specs[0]),
            lambda model: model(tokens[0].cpu()),
        )

        def product(tokens: Tensor, labels: Tensor) -> Tensor:
            inputs, packed, usual = self._packed(tokens, labels)
            return self.network.hessian_vector(theta, inputs, packed, vectors, usual)

        rows = rows_at_a_time(self.layout, tokens.shape[-1])
        with explained:
            return sum_of_pieces(product, tokens, labels, rows)

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        """Logits ``(R, B, classes)`` float32 at parameters ``(R, P)`` and tokens ``(R, B, T)``."""
        return self.network.logits(theta, tokens)

    def row_logits(self, tokens: Tensor, labels: Tensor) -> RowLogits:
        """Logits of these rows at many parameters of each run; see `RowLogits`."""
        own = self.network
        return RowLogits(own.skeleton, own.layout, tokens, labels, own.compute, self.execution)

    def evaluate(self, theta: Tensor) -> dict[str, Tensor]:
        """Loss and accuracy on every part and subset of each run's data.

        Args:
            theta: Parameters ``(R, P)``.

        Returns:
            Named numbers ``(R,)`` float64, e.g. ``validation_accuracy`` or
            ``validation_accuracy_mirror``; NaN where a subset is empty. With a label for each of
            several outputs, accuracy and loss are means over labelled outputs, and
            ``sequence_accuracy`` is the share of rows with every output right; of a task with
            several answers there is the accuracy of each, as ``validation_accuracy_mul``.
        """
        return self.data.means(*self._scores(theta))

    @cached_property
    def _scores(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        kind = RowScores if self._packer is None else PackedScores
        return kind(self.network, self.data)

    @cached_property
    def _packer(self) -> Packer | None:
        model = self.skeleton
        several = self.data.labels.ndim > 2
        return Packer(model, self._drawn) if several and isinstance(model, PackedModel) else None

    def _packed(self, tokens: Tensor, labels: Tensor) -> tuple[Inputs, Tensor, bool]:
        """What the network computes a batch from, its labels, and whether to compile for it."""
        if self._packer is None:
            return tokens, labels, True
        packing, usual = self._packer(tokens, labels)
        return packing, labels, usual

    def _drawn(self, size: int, number: int) -> tuple[Tensor, Tensor]:
        """A batch to see how much room batches of this size need."""
        # The same for all runs with the same data: whom they are trained with changes no number.
        return self._batch(size, number, "room", [0] * self.runs)


@lru_cache(maxsize=16)
def _network(
    model: ModelSpec, vocabulary: int, length: int, classes: int, compute: str, execution: Execution
) -> Network:
    skeleton = model.build(vocabulary=vocabulary, length=length, classes=classes, seed=0)
    with torch.no_grad():
        logits = skeleton(torch.zeros(1, length, dtype=torch.int64))
    return Network(skeleton.to("meta"), tuple(logits.shape[1:-1]), compute, execution)


def _check_batch(specs: Sequence[RunSpec]) -> None:
    if not specs:
        raise ValueError("expected at least one run, got none")
    for run, spec in enumerate(specs):
        if batch_key(spec) != batch_key(specs[0]):
            raise ValueError(
                "expected runs that can share a batch (same model, shape and answers of the task, "
                f"update types, steps, batch size, cadence), but run {run} differs from run 0:\n"
                f"{spec}\n{specs[0]}"
            )


def _check_outputs(spec: RunSpec, outputs: tuple[int, ...], labels: Tensor) -> None:
    wanted = tuple(labels.shape[1:])
    if outputs == wanted:
        return
    count = "x".join(map(str, wanted))
    fitting = (
        f"{count} outputs a row: MultiTaskEncoderSpec(outputs={count}) for several operations, "
        "CausalDecoderSpec for a label at every position"
        if wanted
        else "one output a row, such as PreNormEncoderSpec"
    )
    raise ValueError(
        f"expected logits {_axes('B', *wanted, 'classes')} for the labels "
        f"{_axes('N', *wanted)} of {spec.task}, got {_axes('B', *outputs, 'classes')} from "
        f"{spec.model}; take a model with {fitting}"
    )


def _axes(*sizes: str | int) -> str:
    return f"({', '.join(map(str, sizes))}{',' * (len(sizes) == 1)})"
