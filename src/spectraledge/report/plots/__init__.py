"""Interactive figures as plain plotly dictionaries, built from the arms of an experiment.

Nothing here imports plotly: the dictionaries are drawn by the plotly.js that `html` embeds. Every
trace of an arm carries its name as ``legendgroup``, so one click on the legend toggles the arm.
"""

from spectraledge.report.plots.heat_map import Grid, heat_map
from spectraledge.report.plots.outcomes import dots_with_intervals
from spectraledge.report.plots.over_steps import curves
from spectraledge.report.plots.spectra import spectra_slider

__all__ = ["Grid", "curves", "dots_with_intervals", "heat_map", "spectra_slider"]
