"""Imports point one way: higher levels may import lower ones, never the reverse."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "spectraledge"

# Names on one level do not import each other; a package may import itself.
LEVELS = {
    "names": 0,
    "linalg": 1, "series": 1, "tasks": 1, "models": 1, "report": 1,
    "snapshots": 2, "matrices": 2,
    "weight_matrices": 3, "decay": 3,
    "block_basis": 4,
    "updates": 5,
    "training": 6, "instruments": 6, "store": 6,
    "integrations": 7,
    "lab": 8,
    "experiments": 9,
    "cli": 10, "__main__": 11, "__init__": 11,
}  # fmt: skip
FORBIDDEN = {"utils", "common", "helpers", "misc"}
LONG_FILES: dict[str, str] = {}  # file -> why it may be longer than 300 lines
FILES = sorted(SOURCE.rglob("*.py"))


def family(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, as dotted names below the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ["spectraledge", *path.relative_to(SOURCE).parent.parts]
            base = ".".join(package[: len(package) - node.level + 1])
            names = [f"{base}.{node.module}" if node.module else f"{base}.{a.name}"
                     for a in node.names]  # fmt: skip
        else:
            continue
        found |= {name for name in names if name.split(".")[0] == "spectraledge"}
    return {name.split(".")[1] for name in found if "." in name}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path):
    own = family(path)
    assert own in LEVELS, f"{path}: give {own!r} a level in tests/test_layers.py"
    for other in imports(path) - {own}:
        assert other in LEVELS, f"{path} imports spectraledge.{other}, which has no level"
        allowed = sorted(name for name, level in LEVELS.items() if level < LEVELS[own])
        assert LEVELS[other] < LEVELS[own], (
            f"{path.relative_to(SOURCE)} imports spectraledge.{other}; {own} may import {allowed}"
        )


def test_training_instruments_and_store_do_not_know_each_other():
    # They share a level, so the test above covers it; this one fails if someone moves them.
    assert LEVELS["training"] == LEVELS["instruments"] == LEVELS["store"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_names_and_sizes(path):
    parts = {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts}
    assert not parts & FORBIDDEN, f"{path}: name it after what it holds"
    lines = len(path.read_text().splitlines())
    name = str(path.relative_to(SOURCE))
    assert lines <= 300 or name in LONG_FILES, f"{name} has {lines} lines; split it or say why"


def test_the_report_never_imports_torch():
    for path in (SOURCE / "report").rglob("*.py"):
        assert "import torch" not in path.read_text(), path
