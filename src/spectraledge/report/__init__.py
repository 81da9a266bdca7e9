"""Reports: plain data in, one self-contained HTML page (or an SVG picture) out; never torch."""

from spectraledge.report.arms import Curve, Outcome, Spectra
from spectraledge.report.axes import Axes, Reference
from spectraledge.report.colours import arm_colours
from spectraledge.report.html import render, write
from spectraledge.report.page import Figure, Page, Section, Table, Verdict
from spectraledge.report.plots import (
    Grid,
    curves,
    dots_with_intervals,
    heat_map,
    spectra_slider,
)
from spectraledge.report.static import Panel, write_svg

__all__ = [
    "Axes",
    "Curve",
    "Figure",
    "Grid",
    "Outcome",
    "Page",
    "Panel",
    "Reference",
    "Section",
    "Spectra",
    "Table",
    "Verdict",
    "arm_colours",
    "curves",
    "dots_with_intervals",
    "heat_map",
    "render",
    "spectra_slider",
    "write",
    "write_svg",
]
