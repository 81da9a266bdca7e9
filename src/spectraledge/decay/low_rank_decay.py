"""Low-rank decay beside any torch optimizer: one line after the optimizer is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, Self, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from spectraledge.decay.amount import DecayMethod, DecayScale, check_method
from spectraledge.decay.attached import (
    DecayWatcher,
    attached_decays,
    forget_attached,
    note_attached,
)
from spectraledge.decay.cautions import (
    warn_of_lost_updates,
    warn_of_second_decay,
    warn_of_weight_decay,
)
from spectraledge.decay.functional import decay_step
from spectraledge.decay.selection import Blocks, DecayTable, Select, select_parameters
from spectraledge.decay.stacks import Piece, Rate, stack_rates, stack_views, stacks
from spectraledge.names import check_name

__all__ = ["LowRankDecay"]

STATE_VERSION = 1


class LowRankDecay:
    r"""Decoupled low-rank decay: after each optimizer step, all singular values lose an amount.

    Definition: ``W <- U max(S - t, 0) V^T`` for every selected block, with
    ``t = strength * lr * s(W)``: ``s = ||W||_F / ||X||_F`` for ``adaptive`` (X is the direction
    of the step, which so has the norm of a weight-decay step), 1 for ``absolute``, ``sigma_1``
    for ``spectral``. Where weight decay multiplies all singular values alike, this removes the
    small ones first; on a weight whose scale does not matter, weight decay only changes the norm.

    Put it where the function does not depend on the norm of the weight: queries and keys under
    QK-norm (the default). With a norm over the full width a block is the whole matrix (default),
    with a norm per head it is a head: ``blocks=per_head(heads)``. The decay acts on weights only,
    never on gradients or optimizer state. Give these parameters ``weight_decay=0`` otherwise.

    Parameters without a gradient at an attached step are left alone, as optimizers do, and so
    are all of them at a step that `torch.amp.GradScaler` skips.

    Args:
        model_or_named_parameters: A module, or (name, tensor) pairs (roles by name alone).
        strength: Like the ``weight_decay`` of AdamW at the same learning rate, >= 0: 0.1 to 1 for
            ``adaptive``; may be set between steps (``decay.strength = ...``).
        scale: ``adaptive``, ``absolute`` or ``spectral``; see `decay_amount`.
        coupled: Multiply by the learning rate of the parameter's group, so that schedules and
            warm-up act on the decay too.
        method: See `low_rank_decayed`. The published rule is ``method="published",
            scale="absolute", coupled=False``, strength 0.005.
        steps: Rows of the polynomial; None for the method's own choice.
        every: Decay at every `every`-th step by the sum of the rates so far, >= 1. Without
            gradients this is exact in absolute scale; keep the amount below 0.05 sigma_1.
        select: Which parameters; see `select_parameters`.
        blocks: Which matrices inside them; see `select_parameters`.

    Raises:
        ValueError: If an argument is out of range or unknown, or nothing is selected.

    Source: Ji and Song 2025; Li 2026 (arXiv 2606.04405). Differs from their code: a proximal step
    that never overshoots zero, any shape, and coupled to the learning rate.

    Example:
        >>> model = nn.TransformerEncoderLayer(8, 2, 16)
        >>> optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
        >>> LowRankDecay(model, 0.5).attach(optimizer)
        LowRankDecay(1 weights, 0.5, scale='adaptive', coupled=True, every=1)
    """

    def __init__(
        self,
        model_or_named_parameters: nn.Module | Iterable[tuple[str, Tensor]],
        strength: float,
        *,
        scale: DecayScale = "adaptive",
        coupled: bool = True,
        method: DecayMethod = "auto",
        steps: int | None = None,
        every: int = 1,
        select: Select = "qk",
        blocks: Blocks = None,
    ) -> None:
        check_method(method, steps)
        check_name("scale", scale, get_args(DecayScale))
        if every < 1 or every != int(every):
            raise ValueError(f"expected a whole every >= 1, got {every=}; 1 decays at each step")
        self.strength, self.every = strength, every
        self.scale, self.coupled, self.method, self.steps = scale, coupled, method, steps
        self._table = select_parameters(model_or_named_parameters, select, blocks)
        self._count = 0
        self._owed: list[Rate] = [0.0] * len(self._table.selected)
        self._rho: dict[str, Tensor] = {}
        self._hook: Any = None
        self._watchers: list[DecayWatcher] = []
        self._checked_precision = False

    @property
    def strength(self) -> float:
        """Multiple of the learning rate; see the class."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        given: Any = value
        if not isinstance(given, Real) or not 0.0 <= float(given) < math.inf:
            usual = "0.1 to 1 is usual for scale='adaptive'"
            raise ValueError(f"expected a finite strength >= 0, got strength={value!r}; {usual}")
        self._strength = float(given)

    def __repr__(self) -> str:
        shown = {"scale": self.scale, "coupled": self.coupled, "every": self.every}
        settings = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"LowRankDecay({len(self._table.selected)} weights, {self.strength}, {settings})"

    def describe(self) -> DecayTable:
        """Table of every matrix: decayed or not, why, shape and blocks; `str` prints it."""
        return self._table

    def attach(self, optimizer: Optimizer) -> Self:
        """Decay after every step of `optimizer`, at the learning rates of its groups.

        Args:
            optimizer: Any torch optimizer that holds all selected parameters. Post-hooks run in
                the order of registration, so hooks registered before see undecayed weights.

        Returns:
            The decay itself.

        Raises:
            TypeError: If this is no torch optimizer.
            RuntimeError: If the decay is attached already.
            ValueError: If the optimizer lacks a selected parameter.
        """
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"expected a torch.optim.Optimizer, got {type(optimizer).__name__}; call step(lr)"
            )
        if self._hook is not None:
            raise RuntimeError("this decay is attached already; call detach() first")
        groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        missing = [r.role.name for r in self._table.selected if id(r.parameter) not in groups]
        if missing:
            raise ValueError(
                f"expected an optimizer that holds every decayed parameter, got one without "
                f"{', '.join(missing)}; attach to the one that trains them, or use select"
            )
        warn_of_weight_decay(self._table, groups)
        warn_of_second_decay(self._table, [d.describe() for d in attached_decays(optimizer)])
        self._hook = optimizer.register_step_post_hook(self._after_step)
        note_attached(optimizer, self)
        return self

    def detach(self) -> None:
        """Stop decaying after the optimizer's steps; no effect when not attached."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            forget_attached(self)

    def watch(self, watcher: DecayWatcher) -> Callable[[], None]:
        """Let somebody look at the weights right before and right after each decay.

        Args:
            watcher: Its ``before`` and ``after`` get the selected parameters; it only reads.

        Returns:
            A function that ends it.
        """
        self._watchers.append(watcher)

        def stop() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return stop

    def step(self, lr: Rate | None = None) -> None:
        """Decay once, in a training loop without a torch optimizer.

        Args:
            lr: Learning rate of the step just taken; not used when ``coupled=False``.

        Raises:
            RuntimeError: If the decay is attached, since it would act twice.
            ValueError: If a coupled decay gets no learning rate, or a number below 0.
        """
        if self._hook is not None:
            raise RuntimeError(
                "this decay is attached to an optimizer, which already calls it after each step; "
                "drop the call, or detach() first"
            )
        if self.coupled and lr is None:
            raise ValueError("coupled=True needs a learning rate: step(lr), or coupled=False")
        if not isinstance(lr, Tensor | None) and not 0.0 <= lr < math.inf:
            raise ValueError(f"expected a finite lr >= 0, got lr={lr}")
        self._advance([self._rate(lr)] * len(self._owed))

    def state_dict(self) -> dict[str, Any]:
        """State to resume from: steps counted, rates not applied yet, and the adaptive memory."""
        return {
            "version": STATE_VERSION,
            "layout": self._table.digest(),
            "count": self._count,
            "owed": torch.tensor([float(rate) for rate in self._owed], dtype=torch.float64),
            "rho": {key: rho.clone() for key, rho in self._rho.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from `state_dict`; strength, scale and so on stay as constructed.

        Args:
            state: What `state_dict` returned, for the same parameters and blocks.

        Raises:
            ValueError: If the state is of another version or of other parameters or blocks.
        """
        if state.get("version") != STATE_VERSION:
            version = f"expected a state of version {STATE_VERSION}, got {state.get('version')!r}"
            raise ValueError(f"{version}; resume with the release that wrote it")
        if state["layout"] != self._table.digest():
            raise ValueError(
                f"expected a state of the parameters and blocks below, got one of others; make "
                f"the decay with the same model, select and blocks:\n{self._table}"
            )
        self._count = int(state["count"])
        self._owed = [float(rate) for rate in state["owed"]]
        self._rho = {key: rho.clone() for key, rho in state["rho"].items()}

    def _rate(self, lr: Rate | None) -> Rate:
        return self.strength * lr if self.coupled and lr is not None else self.strength

    def _after_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        # Looked up at each step: loading an optimizer's state replaces its group dictionaries.
        lrs = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        # A fused optimizer under a GradScaler runs its hooks also where it skips its own step.
        infinities = getattr(optimizer, "found_inf", None)
        kept: Rate = 1.0 if infinities is None else (infinities == 0).double()
        parameters = [row.parameter for row in self._table.selected]
        rates = [0.0 if p.grad is None else kept * self._rate(lrs[id(p)]) for p in parameters]
        self._advance(rates)

    def _advance(self, rates: list[Rate]) -> None:
        self._count += 1
        self._owed = [owed + rate for owed, rate in zip(self._owed, rates)]
        if self._count % self.every == 0:
            owed, self._owed = self._owed, [0.0] * len(self._owed)
            self._decay(owed)

    @torch.no_grad()
    def _decay(self, rates: list[Rate]) -> None:
        # Views are taken anew, because moving a model to another device replaces its storage.
        parameters = [row.parameter for row in self._table.selected]
        for watcher in self._watchers:
            watcher.before(parameters)
        pieces = [
            Piece(f"{row.key}#{index}", view, rate)
            for row, rate in zip(self._table.selected, rates)
            for index, view in enumerate(row.views())
        ]
        for group in stacks(pieces):
            before, memory = stack_views(group), self._stacked_rho(group)
            settings = (self.scale, self.method, self.steps)
            after, memory = decay_step(before, stack_rates(group), memory, *settings)
            if not self._checked_precision and group[0].view.dtype.itemsize < 4:
                self._checked_precision = True  # once, because it waits for the device
                warn_of_lost_updates(group[0].view.dtype, before, after, self.every)
            counts = [piece.count for piece in group]
            for piece, new, rho in zip(group, after.split(counts), memory.split(counts)):
                piece.view.copy_(new.view(piece.view.shape))
                self._rho[piece.key] = rho
        for watcher in self._watchers:
            watcher.after(parameters)

    def _stacked_rho(self, group: list[Piece]) -> Tensor:
        view = group[0].view
        first = torch.full((), min(view.shape[-2:]), dtype=torch.float64, device=view.device)
        known = [self._rho.get(piece.key, first.expand(piece.count)) for piece in group]
        return torch.cat([rho.to(view.device) for rho in known])
