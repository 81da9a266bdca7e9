"""One run on disk: its identity, its state, and the moves between states.

Every file appears in one rename (`paths` shows which lie where). A folder without ``done`` is
unfinished and may be resumed; one whose files do not match its ``done`` is damaged, is never read,
and is put aside by `reset`. Whoever writes holds the `claim`; readers need none::

    run = RunFolder.of(root, "rank collapse", spec)
    with run.claim():                          # a second process waits here,
        if run.status().state == "damaged":
            run.reset()
        if not run.is_done():                  # then finds the run done
            run.begin()
            ...                                # write_checkpoint, write_snapshot, write_curves
            run.finish(Origin.now(started, seconds=seconds, device="cpu"))
"""

from __future__ import annotations

import json
import shutil
import traceback
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from spectraledge.store import manifest
from spectraledge.store.atomic import replace_bytes, sweep
from spectraledge.store.contents import Contents, pretty
from spectraledge.store.damage import DamagedError
from spectraledge.store.inspection import Status, inspect, problems
from spectraledge.store.lock import claim
from spectraledge.store.origin import Origin
from spectraledge.store.paths import CHECKPOINT, FAILURE, ORIGIN, SPEC, split_folder_name
from spectraledge.store.signature import canonical_json, signature, slug

__all__ = ["RunFolder"]


@dataclass(frozen=True)
class RunFolder(Contents):
    """The folder of one run, for a spec (`RunFolder.of`) or a path (`RunFolder.at`).

    Args:
        root: Folder that holds all runs.
        name: Readable part of the folder's name; no part of the identity.
        signature: Identity of the spec.
        spec_json: Canonical JSON of the spec; None where only the folder is known.

    Example:
        >>> from tempfile import mkdtemp
        >>> run = RunFolder.of(mkdtemp(), "demo", {"modulus": 7}); run.begin()
        >>> run.write_curves({"step": [0, 5], "loss": [2.0, 0.5]}); print(run.status())
        partial
    """

    root: Path
    name: str
    signature: str
    spec_json: str | None = None

    @classmethod
    def of(cls, root: Path | str, name: str, spec: object) -> RunFolder:
        """The folder for a spec below `root`, existing or not."""
        return cls(Path(root), slug(name), signature(spec), canonical_json(spec))

    @classmethod
    def at(cls, path: Path | str) -> RunFolder:
        """An existing folder.

        Args:
            path: The folder.

        Returns:
            The run in it.

        Raises:
            ValueError: If its name is not that of a run's folder.
        """
        parts = split_folder_name(Path(path).name)
        if parts is None:
            raise ValueError(f"expected a folder slug-xxxxxxxx, got {path}; name a run's folder")
        return cls(Path(path).parent, *parts)

    @property
    def path(self) -> Path:
        """The folder; a run stored under another readable name is found by its signature."""
        own = self.root / f"{self.name}-{self.signature}"
        others = [] if own.exists() else sorted(self.root.glob(f"[!.]*-{self.signature}"))
        return others[0] if others else own

    def claim(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Exclusive right to write this run; see `spectraledge.store.claim`."""
        # Outside the folder, so that `reset` does not carry the lock away from those who wait.
        return claim(self.root / ".locks" / f"{self.signature}.lock", wait=wait)

    def status(self, *, thorough: bool = True) -> Status:
        """State of the run.

        Args:
            thorough: Read every file once; otherwise compare sizes only, for lists and displays.

        Returns:
            Missing, partial, done, failed or damaged, with reasons.

        Raises:
            RuntimeError: If the folder belongs to another spec with the same signature.
        """
        found = inspect(self.path, thorough=thorough)
        if found.state not in {"missing", "damaged"}:
            self._check_spec()
        return found

    def is_done(self) -> bool:
        """Whether the run is finished and every file is as it was written."""
        return self.status().state == "done"

    def verify(self) -> list[str]:
        """What is missing, cut short or altered; empty if nothing is."""
        return problems(self.path)

    def begin(self) -> None:
        """Make the folder, or take up an unfinished one: drop leftovers and any recorded error.

        Raises:
            RuntimeError: If the run is done, or if the folder belongs to another spec with the
                same signature.
        """
        folder = self.path
        if (folder / manifest.DONE).exists():
            raise RuntimeError(f"{folder} is done; read it, or reset() it to train again")
        if self.spec_json is not None and not (folder / SPEC).exists():
            replace_bytes(folder / SPEC, pretty(self.spec_json))
        self._check_spec()
        sweep(folder)
        (folder / FAILURE).unlink(missing_ok=True)

    def fail(self, error: BaseException) -> None:
        """Record the error that ended the run; the checkpoint stays."""
        record = {
            "kind": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write_json(FAILURE, json.dumps(record))

    def pause(self, origin: Origin) -> None:
        """Record where an unfinished run was made so far; its checkpoint stays to go on from."""
        self._write_json(ORIGIN, canonical_json(origin))

    def finish(self, origin: Origin) -> None:
        """Seal the run: record its origin, write ``done``, drop the checkpoint and leftovers.

        Args:
            origin: Where and when it was made.

        Raises:
            DamagedError: If a file is damaged already.
        """
        self._write_json(ORIGIN, canonical_json(origin))
        folder = self.path
        found = problems(folder)
        if found:
            raise DamagedError(folder, found)
        manifest.seal(folder, leave_out={CHECKPOINT, FAILURE})
        # The checkpoint goes after `done`: until then it is what a killed run resumes from.
        for name in (CHECKPOINT, FAILURE):
            (folder / name).unlink(missing_ok=True)
        sweep(folder)

    def reset(self, *, keep: bool = True) -> Path | None:
        """Make room to train again, in one rename.

        Args:
            keep: Keep the old folder under ``.set-aside`` beside the runs; otherwise delete it.

        Returns:
            Where the old folder is now; None if there was none or it was deleted.
        """
        folder = self.path
        if not folder.exists():
            return None
        places = (self.root / ".set-aside" / f"{folder.name}.{k}" for k in count(1))
        place = next(place for place in places if not place.exists())
        place.parent.mkdir(exist_ok=True)
        folder.rename(place)
        if keep:
            return place
        shutil.rmtree(place)
        return None

    def _check_spec(self) -> None:
        if self.spec_json is not None and self.read_spec() != self.spec_json:
            raise RuntimeError(
                f"{self.path} belongs to another spec with the signature {self.signature}; "
                "keep the runs of these two specs under different roots"
            )
