"""Low-rank decay as a link of the update chain, over all chosen matrices of all runs at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from spectraledge.linalg import published_step, soft_threshold_singular_values
from spectraledge.snapshots import Layout
from spectraledge.updates.base import Clock, Groups, State, Update, check_range, group_names

__all__ = ["LowRank"]


@dataclass(frozen=True)
class LowRank(Update):
    strength: float
    scale: Literal["adaptive", "absolute", "spectral"] = "adaptive"
    coupled: bool = True
    method: str = "floored"
    every: int = 1
    on: str = "qk"

    part: ClassVar[str | None] = "low_rank"
    compiled: ClassVar[bool] = False

    def constants(self, theta, layout, groups):
        names = group_names("LowRank", self.on, groups)
        self_spans = {}
        return {n: torch.tensor([layout.span(n).start, *layout.shapes[layout.names.index(n)]]) for n in names}

    def init(self, theta, layout, groups):
        k = len(group_names("LowRank", self.on, groups))
        return {"due": torch.zeros(theta.shape[0], 1, dtype=torch.float64), "rho": torch.full((theta.shape[0], k), 128.0, dtype=torch.float64)}

    def apply_(self, theta, gradient, state, hyper, clock):
        rate = hyper["strength"] * (clock.lr if self.coupled else clock.active)
        state["due"].add_(rate)
        if clock.index % self.every:
            return
        views = []
        for n, c in hyper.items():
            if n == "strength":
                continue
            s, a, b = c.tolist()
            views.append(theta[:, s:s + a * b].view(-1, a, b))
        W = torch.stack(views, 1)
        amount = state["due"].expand(-1, len(views)).clone()
        if self.scale == "adaptive":
            amount = amount * torch.linalg.matrix_norm(W).double() / state["rho"].sqrt()
        new = published_step(W, amount) if self.method == "published" else soft_threshold_singular_values(W, amount, method=self.method)
        if self.scale == "adaptive":
            X2 = ((W - new) / amount.clamp_min(1e-30)[..., None, None]).square().sum((-1, -2)).double()
            state["rho"].copy_(torch.where(amount > 0, X2.clamp_min(1.0), state["rho"]))
        for i, v in enumerate(views):
            v.copy_(new[:, i])
        state["due"].zero_()
