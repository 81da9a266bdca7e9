"""The error of reading something that is not what was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["DamagedError"]


class DamagedError(RuntimeError):
    """A stored file or folder is missing, cut short or altered; its content must not be used.

    Args:
        path: What is damaged.
        reasons: What was found wrong, one entry a defect.

    Example:
        >>> print(DamagedError("runs/a", ["done is cut short"]))
        runs/a is damaged: done is cut short
    """

    def __init__(self, path: Path | str, reasons: Sequence[str]) -> None:
        # The arguments themselves, so that the error survives pickling between processes.
        super().__init__(path, tuple(reasons))
        self.path = Path(path)
        self.reasons = tuple(reasons)

    def __str__(self) -> str:
        return f"{self.path} is damaged: {'; '.join(self.reasons)}"
