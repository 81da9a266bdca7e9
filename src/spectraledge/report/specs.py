"""Many specs at a glance: what all runs share, and a table of what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spectraledge.report.page import Cell, Table

__all__ = ["compare_specs"]

ABSENT = "(absent)"


def compare_specs(specs: Sequence[Mapping[str, Any]]) -> tuple[Table | None, Table | None]:
    """Shared fields and differing fields of specs; together they hold everything.

    Args:
        specs: Mappings that JSON can express; nested ones are flattened to dotted names.

    Returns:
        A table of fields with one value for all specs, and a table with one row per spec and one
        column per field that differs; None in place of an empty table.

    Example:
        >>> shared, differing = compare_specs([{"lr": 1, "seed": 0}, {"lr": 1, "seed": 1}])
        >>> shared.rows, differing.rows
        ([('lr', 1)], [(0,), (1,)])
    """
    flat = [_flatten(spec) for spec in specs]
    names = list(dict.fromkeys(name for fields in flat for name in fields))
    columns = {name: [fields.get(name, ABSENT) for fields in flat] for name in names}
    # Compared with their types, because 1, 1.0 and True are equal but different settings.
    shared = [name for name in names if len({repr(cell) for cell in columns[name]}) == 1]
    differing = [name for name in names if name not in shared]
    shared_rows = [(name, columns[name][0]) for name in shared]
    rows = list(zip(*(columns[name] for name in differing)))
    return (
        Table(("field", "value"), shared_rows, "Shared by all runs.") if shared else None,
        Table(differing, rows, "What differs, one row per run.") if differing else None,
    )


def _flatten(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Cell]:
    fields: dict[str, Cell] = {}
    for key, value in spec.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            fields |= _flatten(value, f"{name}.")
        elif value is None or isinstance(value, bool | list | tuple | Mapping):
            fields[name] = json.dumps(value)
        else:
            fields[name] = value
    return fields
