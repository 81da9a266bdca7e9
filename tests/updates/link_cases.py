"""One link on a few small matrices: the smallest stage an update can be tested on."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates import Clock, Update, chain

LAYOUT = Layout(
    ("a.query", "b.key", "gain", "c.value", "d.up"), ((8, 8), (8, 8), (5,), (6, 4), (4, 6))
)
GROUPS = {
    "qk": ("a.query", "b.key"),
    "matrices": ("a.query", "b.key", "c.value", "d.up"),
    "all": LAYOUT.names,
}
MATRICES = GROUPS["matrices"]


def parameters(runs: int, seed: int = 0) -> Tensor:
    return torch.randn(runs, LAYOUT.size, generator=torch.Generator().manual_seed(seed))


def clock(runs: int, index: int = 1, lr: float = 0.1) -> Clock:
    active = torch.ones(runs, 1, dtype=torch.float64)
    return Clock(index, torch.tensor(float(index), dtype=torch.float64), lr * active, active)


def applied(
    updates: Iterable[Update],
    start: Tensor,
    indices: Iterable[int] = (1,),
    lr: float = 0.1,
    between: Callable[[Tensor], object] = lambda theta: None,
    slope: Callable[[int], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Parameters and last gradient of runs that differ in one link, after some steps.

    `between` stands for the optimizer: it moves the parameters before each application.
    """
    theta, updates = start.clone(), list(updates)
    links, states = chain([(update,) for update in updates], theta, LAYOUT, GROUPS)
    gradient = torch.zeros_like(theta)
    for index in indices:
        gradient = torch.zeros_like(theta) if slope is None else slope(index).clone()
        between(theta)
        links.apply_(theta, gradient, states, clock(len(updates), index, lr), {})
    return theta, gradient


def matrix(flat: Tensor, name: str, run: int = 0) -> Tensor:
    return LAYOUT.view(flat, name)[run]
