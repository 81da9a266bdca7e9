"""Any module and rows of tokens as a problem, for instruments that evaluate the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from spectraledge.instruments.evaluated_module import EvaluatedModule
from spectraledge.instruments.logits_check import check_logits
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.instruments.plain_module import plain_module
from spectraledge.instruments.token_rows import Batches, TokenRows
from spectraledge.snapshots import Layout, flatten_parameters
from spectraledge.tasks import UNLABELLED

__all__ = ["ModuleProblem"]

OWNER = "ModuleProblem"
# Rows of a measuring batch, unless the caller has a wish or too few of them.
BATCH = 512
# Rows that the model is tried on at first.
TRIED = 2


class ModuleProblem:
    """One module and its rows as what instruments ask of a problem of one run.

    Losses are mean cross-entropies over labels, of logits in float32 or better. The module is
    evaluated in eval mode at the parameters of the snapshot and with its own buffers; neither its
    parameters, gradients, buffers and modes nor torch's random numbers change. Its hooks are
    called, as by any forward pass. Derivatives are by all parameters, frozen ones too; tied ones
    count once.

    Rows of ``train`` are what losses are differentiated on (`GapFlow`, `CommutatorDefect`,
    `Curvature`, ...), and known as trained on where ``held_out`` has them too; rows of
    ``held_out``, from the first on, are what all else is measured on.

    Args:
        model: The module that is trained; not copied. Of a compiled or wrapped one the plain
            module inside is evaluated.
        train: Integer tokens ``(N, T)`` and labels, ``(N,)`` for one a row or ``(N, L)`` for one
            for each of L outputs and -100 where there is none, as logits have them: a language
            model's labels are those of the next token. Or a finite iterable of such pairs, read
            once, here. For other inputs see `forward`.
        held_out: The same of rows that are not trained on.
        forward: Makes logits ``(B, classes)``, or ``(B, L, classes)``, from the module and tokens
            ``(B, T)``; None calls the module on the tokens. For a model that takes more, or returns
            more, ``lambda model, tokens: model(tokens, attention_mask=tokens != 0).logits``. For
            inputs that are no tokens these are numbers of rows ``(N, 1)``, and it looks them up.
        batch_size: Rows of each measuring batch, 1 to N; None for half of them, 512 at most, so
            that two batches differ.
        read_out_position: Position that is read where a row has one label; None for what the model
            says under this name, else the last.
        answers: Names of the L outputs if they answer L questions about a row, as the heads of a
            multi-task model; what looks at positions is then refused. None if outputs are those
            of positions, or one.
        initial: State dict of the module before training, for probes of the untrained network;
            copied, so ``model.state_dict()`` is the module as it is now. Buffers in it are left
            out.

    Raises:
        ValueError: If rows are not as above, or have another number of labels than answers; if
            the module fails on the first of them, or its logits are of another shape, not finite,
            or random in eval mode; for labels that the logits do not have, or another batch size
            or initial state.

    Cost: passes over few rows at a time, one point after the other; a gradient for `batch_size`
    rows, and for Hessians attention without fused kernels. Two copies of the parameters meanwhile.

    Example:
        >>> from spectraledge.instruments import Ablation, Probe
        >>> class Tagger(nn.TransformerEncoderLayer):
        ...     def forward(self, tokens):
        ...         return super().forward(nn.functional.one_hot(tokens, 8).float())
        >>> rows = torch.randint(8, (40, 6))
        >>> model = Tagger(8, 2, 16, batch_first=True)
        >>> problem = ModuleProblem(model, train=(rows[:30], rows[:30]), held_out=[(rows, rows)])
        >>> probe = Probe(model, [Ablation()], every=10, problem=problem)
        >>> for step in range(30):
        ...     probe.step(step)
        >>> probe.readings["ablation"]["accuracy"].shape
        (3,)
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        train: Batches,
        held_out: Batches,
        forward: Callable[[nn.Module, Tensor], Any] | None = None,
        batch_size: int | None = None,
        read_out_position: int | None = None,
        answers: Sequence[str] | None = None,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.model = model = plain_module(model)
        self.layout = Layout.of(model)
        if not self.layout.size:
            raise ValueError(f"{OWNER}: expected a module with parameters, got {type(model)}")
        self._train = TokenRows.of(f"{OWNER}(train=...)", train)
        self._held_out = TokenRows.of(f"{OWNER}(held_out=...)", held_out)
        self.batch_size = _batch_size(batch_size, len(self._train))
        own = int(getattr(model, "read_out_position", -1))
        self._skeleton = EvaluatedModule(
            model, forward, own if read_out_position is None else read_out_position
        )
        self._closure = LossClosure(self._skeleton, _loss_of_batch, OWNER)
        self.answers = _answers(answers, self._held_out.labels)
        self._initial = None if initial is None else _flattened(self.layout, initial)
        for name, rows in (("train", self._train), ("held_out", self._held_out)):
            self._try(name, rows)

    @property
    def skeleton(self) -> nn.Module:
        """The module as a function from tokens to logits, under its own names."""
        return self._skeleton

    def initial_parameters(self) -> Tensor | None:
        """Parameters ``(1, P)`` before training; None if nobody said."""
        return None if self._initial is None else self._initial.to(self._device)[None]

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        """Rows of ``train``, a function of step and salt.

        Args:
            step: Which batch, >= 0; consecutive ones share no row while there are enough.
            salt: Purpose; batches of different ones are independent.

        Returns:
            Tokens ``(1, B, T)`` and labels ``(1, B, *L)`` on the module's device.
        """
        return self._one_run(self._train.drawn(self.batch_size, step, salt))

    def held_out(self, rows: int) -> tuple[Tensor, Tensor]:
        """The first rows of ``held_out``.

        Args:
            rows: How many, >= 1; all if there are fewer.

        Returns:
            Tokens and labels, as of `batch`.

        Raises:
            ValueError: For fewer than one row.
        """
        if rows < 1:
            raise ValueError(f"held_out: expected rows >= 1, got {rows}; ask for at least one row")
        own = self._held_out
        return self._one_run(TokenRows(own.tokens[:rows], own.labels[:rows]))

    def occurs_in_training(self, tokens: Tensor) -> Tensor:
        """Which rows ``(R, B, T)`` are among those of ``train``, ``(R, B)``."""
        return self._train.contains(tokens)

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        """Logits ``(R, B, *L, classes)`` at parameters ``(R, P)`` and tokens ``(R, B, T)``."""
        # One after the other, since not every module can be mapped over a stack of parameters.
        return torch.stack([self._logits(*run) for run in zip(theta, tokens)])

    def gradient(
        self, theta: Tensor, tokens: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient of the mean cross-entropy.

        Args:
            theta: Parameters ``(R, P)``.
            tokens: ``(R, B, T)``.
            labels: ``(R, B, *L)``.

        Returns:
            Gradients ``(R, P)``, losses ``(R,)`` and accuracies ``(R,)``.
        """
        runs = [self._gradient(*run) for run in zip(theta, tokens, labels)]
        gradient, loss, accuracy = (torch.stack(own) for own in zip(*runs))
        return gradient, loss, accuracy

    def hessian_vector(
        self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        """Hessian of the mean cross-entropy times K vectors, without differences.

        Args:
            theta: Parameters ``(R, P)``.
            tokens: ``(R, B, T)``.
            labels: ``(R, B, *L)``.
            vectors: ``(R, K, P)``.

        Returns:
            ``(R, K, P)``; NaN where the loss is not finite.

        Raises:
            ValueError: If the model has no second derivative; the message names the module.
        """
        runs = zip(theta, tokens, labels, vectors)
        return torch.stack([self._hessian_vector(*run) for run in runs])

    def _hessian_vector(
        self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        # A diverged model is no error of its owner, whose training must go on.
        if not bool(_loss(self._logits(theta, tokens).detach(), labels).isfinite()):
            return torch.full_like(vectors, torch.nan)
        batch = tokens.to(theta.device), labels
        return self._closure.hessian_vector(theta[None], batch, None, vectors[None])[0]

    @torch.enable_grad()
    def _gradient(
        self, theta: Tensor, tokens: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        flat = theta.detach().clone().requires_grad_()
        logits = self._logits(flat, tokens)
        loss = _loss(logits, labels)
        if not loss.requires_grad:
            raise ValueError(
                f"{OWNER}: expected a loss that depends on the parameters; leave out detach and "
                "no_grad in forward"
            )
        (gradient,) = torch.autograd.grad(loss, flat)
        targets = labels.to(logits.device)
        right = (logits.argmax(-1) == targets).sum() / (targets != UNLABELLED).sum()
        return gradient, loss.detach(), right

    def _logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        if theta.shape != (self.layout.size,):
            raise ValueError(
                f"{OWNER}: expected {self.layout.size} parameters, got {tuple(theta.shape)}; give "
                "it the module that is measured"
            )
        named = self.layout.views(theta)
        return _wide(functional_call(self._skeleton, named, (tokens.to(theta.device),)))

    def _one_run(self, rows: TokenRows) -> tuple[Tensor, Tensor]:
        return rows.tokens[None].to(self._device), rows.labels[None].to(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.no_grad()
    def _try(self, name: str, rows: TokenRows) -> None:
        """Evaluate the model on the first rows, as it will be later, and say what is wrong."""
        tokens, labels = rows.tokens[:TRIED], rows.labels[:TRIED]
        named = self.layout.views(flatten_parameters(self.model))

        def compute() -> Any:
            return functional_call(self._skeleton, named, (tokens.to(self._device),))

        check_logits(f"{OWNER}({name}=...)", compute, self._device, labels, rows.labels)


def _wide(logits: Tensor) -> Tensor:
    """Logits in float32 or better: a softmax in half precision loses the tail."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    targets = labels.to(logits.device).flatten()
    return F.cross_entropy(logits.flatten(0, -2), targets, ignore_index=UNLABELLED)


def _loss_of_batch(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    tokens, labels = batch
    return _loss(_wide(model(tokens)), labels)


def _answers(names: Sequence[str] | None, labels: Tensor) -> tuple[str, ...]:
    answers = tuple(names or ())
    if answers and labels.shape[1:] != (len(answers),):
        raise ValueError(
            f"{OWNER}: expected labels (N, {len(answers)}) for the answers {answers}, got "
            f"{tuple(labels.shape)}; name one answer for each column of the labels"
        )
    return answers


def _batch_size(wanted: int | None, rows: int) -> int:
    size = min(BATCH, max(1, rows // 2)) if wanted is None else wanted
    if not 1 <= size <= rows:
        raise ValueError(
            f"{OWNER}: expected batch_size in 1..{rows}, the rows of train, got {size}"
        )
    return size


def _flattened(layout: Layout, state: Mapping[str, Tensor]) -> Tensor:
    """A copy of the parameters in a state dict as one vector ``(P,)``."""
    for name, shape in zip(layout.names, layout.shapes):
        got = tuple(state[name].shape) if name in state else None
        if got != shape:
            raise ValueError(
                f"{OWNER}: expected initial[{name!r}] of shape {shape}, got {got}; pass the "
                f"state_dict() of the same module. It has {sorted(state)}"
            )
    return torch.cat([state[name].detach().reshape(-1) for name in layout.names])
