"""Fold other ledgers into the committed one: ``python results/merge.py runs/ledger.parquet …``."""

from __future__ import annotations

import sys
from pathlib import Path

from spectraledge.lab.ledger import Ledger

COMMITTED = Path(__file__).parent / "ledger.parquet"


def main(paths: list[Path]) -> None:
    """Take every row that did not fail; of two for one run, the one that was trained further."""
    ledger = Ledger.read(COMMITTED)
    before = len(ledger)
    for path in paths:
        if not path.is_file():
            raise SystemExit(f"no ledger {path}; nothing was written")
        for row in Ledger.read(path):
            if row.state != "failed":
                ledger.add(row)
    ledger.write(COMMITTED)
    print(f"{COMMITTED}: {before} rows before, {len(ledger)} now")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
