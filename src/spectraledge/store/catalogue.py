"""The catalogue: all runs below a root, found by spec or by the beginning of a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from spectraledge.store.paths import split_folder_name
from spectraledge.store.run_folder import RunFolder

__all__ = ["Catalogue"]

LISTED = 20


@dataclass(frozen=True)
class Catalogue:
    """The runs below `root`; what stands beside them is left alone.

    Args:
        root: Folder that holds the runs; it need not exist.

    Example:
        >>> from tempfile import mkdtemp
        >>> root = mkdtemp()
        >>> RunFolder.of(root, "demo", {"modulus": 7}).begin()
        >>> [run.name for run in Catalogue(root)]
        ['demo']
    """

    root: Path | str

    def __iter__(self) -> Iterator[RunFolder]:
        """All runs, finished or not, in the order of their names."""
        root = Path(self.root)
        folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.exists() else []
        return (RunFolder.at(path) for path in folders if split_folder_name(path.name))

    def find(self, spec: object) -> RunFolder | None:
        """The run of a spec under whatever name, or None if it was never begun."""
        run = RunFolder.of(self.root, "run", spec)
        parts = split_folder_name(run.path.name)
        return replace(run, name=parts[0]) if run.path.exists() and parts else None

    def get(self, beginning: str) -> RunFolder:
        """The one run whose folder name or signature begins so.

        Args:
            beginning: A whole name, or enough of it.

        Returns:
            The run.

        Raises:
            KeyError: If no run begins so; the message lists those there are and the closest.
            ValueError: If several do; the message lists them.
        """
        runs = {run.path.name: run for run in self}
        if beginning in runs:
            return runs[beginning]
        found = [
            name
            for name, run in runs.items()
            if name.startswith(beginning) or run.signature.startswith(beginning)
        ]
        if len(found) > 1:
            raise ValueError(
                f"expected one run {beginning!r}, got {_listing(found)}; type more of it"
            )
        if not found:
            closest = get_close_matches(beginning, runs, n=1, cutoff=0.0)
            raise KeyError(
                f"no run {beginning!r} in {self.root}; known: {_listing(list(runs))}; "
                f"closest: {closest[0] if closest else 'none'}"
            )
        return runs[found[0]]


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "none") + more
