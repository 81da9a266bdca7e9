"""The parts of a report: verdicts, sections, figures and tables, checked when they are made.

A `Page` is plain data. `html` renders it; nothing here knows how it will look.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Figure", "Page", "Section", "Table", "Verdict"]

STATUSES = ("holds", "fails", "undecided")

Cell = str | int | float | None


@dataclass(frozen=True)
class Verdict:
    """A claim, what was published, what we observed, and whether the claim holds.

    Args:
        claim: The claim in one sentence.
        paper_value: The published number, in words.
        observed: Our number with its interval, in words.
        status: ``"holds"``, ``"fails"`` or ``"undecided"``.
        explanation: How the status follows from the observation.

    Raises:
        ValueError: If the status is unknown, or the claim or the observation is empty.

    Example:
        >>> Verdict("rank collapses", "1 to 3", "2.1 [1.8, 2.4]", "holds").status
        'holds'
    """

    claim: str
    paper_value: str
    observed: str
    status: str
    explanation: str = ""

    def __post_init__(self) -> None:
        _require_text("claim", self.claim)
        _require_text(f"observed of claim {self.claim!r}", self.observed)
        if self.status not in STATUSES:
            closest = get_close_matches(str(self.status), STATUSES, n=1)
            advice = f"; did you mean {closest[0]!r}?" if closest else ""
            raise ValueError(
                f"expected status of claim {self.claim!r} to be one of {', '.join(STATUSES)}, "
                f"got {self.status!r}{advice}"
            )


@dataclass(frozen=True)
class Figure:
    """An interactive figure.

    Args:
        title: Heading above the figure.
        caption: What is drawn and how to read it.
        plot: A plotly figure as a dictionary (``data``, ``layout``, optionally ``frames``) that
            can be written as JSON; missing values are None.
        height: Height in pixels, at least 120.
        half: On wide screens, take half of the page; two such figures in a row stand side by side.

    Raises:
        ValueError: If the title is empty, the height too small, or the plot has no data or holds
            NaN or infinite numbers.
        TypeError: If the plot holds something JSON cannot express.
    """

    title: str
    caption: str
    plot: Mapping[str, Any]
    height: int = 440
    half: bool = False

    def __post_init__(self) -> None:
        _require_text("title of a figure", self.title)
        if self.height < 120:
            raise ValueError(
                f"expected figure {self.title!r} at least 120 pixels high, got {self.height}"
            )
        if not self.plot.get("data"):
            raise ValueError(
                f"expected figure {self.title!r} to have a non-empty 'data' list, "
                f"got a plot with {sorted(self.plot)}; make it with spectraledge.report.plots"
            )
        _require_json(f"plot of figure {self.title!r}", self.plot)


@dataclass(frozen=True)
class Table:
    """A table of text and numbers.

    Args:
        columns: Column names.
        rows: Cells, one sequence per row; None is shown as a dash, floats with 4 digits.
        caption: What the table shows.

    Raises:
        ValueError: If there are no columns or a row has another length.
        TypeError: If a cell is neither text nor a number nor None.

    Example:
        >>> Table(("arm", "step"), (("L2", 1400), ("LRD", None))).columns
        ('arm', 'step')
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError(f"expected a table with at least one column ({self.caption!r})")
        for number, row in enumerate(self.rows, start=1):
            if isinstance(row, str) or len(row) != len(self.columns):
                raise ValueError(
                    f"expected {len(self.columns)} cells ({', '.join(self.columns)}), "
                    f"got {row!r} in row {number}"
                )
            for cell in row:
                if not isinstance(cell, str | int | float | None):
                    raise TypeError(
                        f"expected text, a number or None in row {number}, got {cell!r} of type "
                        f"{type(cell).__name__}; convert it with str() or float()"
                    )


@dataclass(frozen=True)
class Section:
    """A heading with text, figures and tables.

    Args:
        title: Heading, also in the table of contents.
        text: Paragraphs separated by blank lines; plain text.
        items: Figures and tables, in order.

    Raises:
        ValueError: If the title is empty.
        TypeError: If an item is neither a `Figure` nor a `Table`.
    """

    title: str
    text: str = ""
    items: Sequence[Figure | Table] = ()

    def __post_init__(self) -> None:
        _require_text("title of a section", self.title)
        _require_types(f"items of section {self.title!r}", self.items, (Figure, Table))


@dataclass(frozen=True)
class Page:
    """A report: headline verdicts, sections, and what is needed to repeat it.

    Args:
        title: Title of the report.
        summary: Opening paragraphs separated by blank lines; plain text.
        verdicts: Headline claims, in the order of the cards.
        sections: Body of the report.
        environment: Versions, device, threads, seconds, in words.
        specs: One mapping per run or arm that JSON can express, nested or flat.
        links: Label to path of a run folder, relative to where the page will be written.

    Raises:
        ValueError: If the title is empty, a spec has NaN, or a link is not a relative path.
        TypeError: If parts are of the wrong kind, or a spec cannot be written as JSON.

    Example:
        >>> Page("Rank collapse", links={"seed 0": "../runs/lrd-0/"}).sections
        ()
    """

    title: str
    summary: str = ""
    verdicts: Sequence[Verdict] = ()
    sections: Sequence[Section] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    specs: Sequence[Mapping[str, Any]] = ()
    links: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_text("title of a page", self.title)
        _require_types("verdicts", self.verdicts, (Verdict,))
        _require_types("sections", self.sections, (Section,))
        _require_types("specs", self.specs, (Mapping,))
        for number, spec in enumerate(self.specs, start=1):
            _require_json(f"spec {number}", spec)
        for label, path in self.links.items():
            # Also refuses javascript: links, C:\ paths and //host paths.
            if not path or urlsplit(path).scheme or path.startswith(("/", "\\")):
                raise ValueError(
                    f"expected link {label!r} to be a path relative to the page, got {path!r}; "
                    "use os.path.relpath(run_folder, page_folder)"
                )


def _require_text(name: str, text: str) -> None:
    if not text.strip():
        raise ValueError(f"expected {name} to say something, got {text!r}")


def _require_types(name: str, parts: Sequence[Any], kinds: tuple[type, ...]) -> None:
    for part in parts:
        if not isinstance(part, kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"expected {name} to be {expected}, got {type(part).__name__}")


def _require_json(name: str, content: Mapping[str, Any]) -> None:
    try:
        json.dumps(dict(content), allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f"expected {name} without NaN or infinite numbers; use None instead"
        ) from error
    except TypeError as error:
        raise TypeError(f"expected {name} to be writable as JSON: {error}") from error
