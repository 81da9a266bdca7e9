"""Origin: where, when and with what a run was made; kept beside it, no part of its identity."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import torch

__all__ = ["Origin"]

PACKAGES = ("spectraledge", "torch", "numpy", "scipy")


@dataclass(frozen=True)
class Origin:
    """Circumstances of a run.

    Args:
        started: Start of its first session, ISO 8601 with time zone.
        finished: End of its last session.
        seconds: Time spent computing, over all sessions.
        device: Device of the computation, e.g. ``cpu`` or the name of a GPU.
        threads: CPU threads of one operation.
        machine: System and architecture.
        versions: Version of Python and of each package that can change a result.

    Example:
        >>> origin = Origin.now(datetime.now(UTC), seconds=1.5, device="cpu")
        >>> sorted(origin.versions)
        ['numpy', 'python', 'scipy', 'spectraledge', 'torch']
    """

    started: str
    finished: str
    seconds: float
    device: str
    threads: int
    machine: str
    versions: Mapping[str, str]

    @classmethod
    def now(cls, started: datetime, *, seconds: float, device: str) -> Origin:
        """Origin of a run that ends now, in this process.

        Args:
            started: Start of its first session, with a time zone.
            seconds: Time spent computing, over all sessions, ≥ 0.
            device: Device of the computation.

        Returns:
            The origin.

        Raises:
            ValueError: If `started` has no time zone.
        """
        if started.tzinfo is None:
            raise ValueError(
                f"expected a time with a time zone, got {started}; use datetime.now(UTC)"
            )
        return cls(
            started=started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=seconds,
            device=device,
            threads=torch.get_num_threads(),
            machine=f"{platform.system()} {platform.machine()}",
            versions={"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
