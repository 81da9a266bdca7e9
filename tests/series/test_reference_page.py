"""The reference lists the public names of the package as they are; `make docs` writes it."""

import importlib.util
from pathlib import Path

from spectraledge import series

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_lists_every_name_as_it_is_now():
    spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    listed = "\n".join(["## `spectraledge.series`", "", *build.listing(series), ""])
    assert listed in (DOCS / "reference.md").read_text(), "run `make docs`"
