"""A page as one self-contained HTML file: plotly.js embedded once, nothing ever fetched.

The file carries a content security policy that forbids the browser any connection, so a figure
that wanted the network would fail visibly instead of leaking.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from spectraledge.report.atomic import replace_text
from spectraledge.report.page import Cell, Page, Table
from spectraledge.report.specs import compare_specs

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["render", "write"]

# A word and a sign beside every colour, for those who cannot tell the colours apart.
STATUS_SIGNS = {"holds": "✓", "fails": "✕", "undecided": "?"}


def render(page: Page) -> str:
    """A page as HTML, about 5 MB of which are plotly.js.

    Args:
        page: The page.

    Returns:
        The text of the HTML file.

    Raises:
        ImportError: If jinja2 or plotly is missing; they come with the ``lab`` extra.
    """
    try:
        from plotly.offline import get_plotlyjs

        template = _template()
    except ImportError as error:
        raise ImportError(
            f"expected jinja2 and plotly to write a report, got: {error}; "
            "install them with: pip install 'spectraledge[lab]'"
        ) from error
    shared, differing = compare_specs(page.specs)
    counts = [
        (status, sum(verdict.status == status for verdict in page.verdicts))
        for status in STATUS_SIGNS
    ]
    return template.render(
        page=page,
        plotly_js=get_plotlyjs(),
        signs=STATUS_SIGNS,
        counts=[(status, count) for status, count in counts if count],
        spec_tables=[table for table in (shared, differing) if table is not None],
    )


def write(page: Page, path: Path | str) -> Path:
    """Render a page and put it in place in one move, so that a reader never sees half of it.

    Args:
        page: The page.
        path: Where the HTML file goes; links of the page are relative to its folder.

    Returns:
        The path.
    """
    return replace_text(path, render(page))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "alignments": _alignments,
        "cell": _cell,
        "paragraphs": _paragraphs,
        "path": quote,
        "script_json": _script_json,
    }
    environment.tests["table"] = lambda item: isinstance(item, Table)
    source = files("spectraledge.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def _cell(value: Cell) -> str:
    if value is None or value != value:  # NaN is the only value that differs from itself
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _alignments(table: Table) -> list[str]:
    # A column of numbers, gaps allowed, is aligned to the right.
    columns = list(zip(*table.rows)) or [()] * len(table.columns)
    kinds = [{type(cell) for cell in column} - {type(None)} for column in columns]
    return ["number" if kind and kind <= {int, float} else "text" for kind in kinds]


def _script_json(content: Any) -> Any:
    from markupsafe import Markup

    # Inside <script> the parser looks for "</script" and "<!--" only; \u003c is the same to JSON.
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
