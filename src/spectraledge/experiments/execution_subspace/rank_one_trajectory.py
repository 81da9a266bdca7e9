"""Do attention weights move along about one principal component?

The trajectory of each attention matrix since the start, its explained variance beside three
controls: what a random walk of equal steps gives, what a walk that only forgets its start gives,
and what is left once the decayed initial weights are taken out. Grokking and hard operations are
compared over the same steps only, since the share depends on the length of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import BaseRunStudy
from spectraledge.experiments.execution_subspace.rank_one_page import rank_one_page
from spectraledge.experiments.study import Known
from spectraledge.report import Page

__all__ = ["STUDY", "RankOneTrajectory"]


@dataclass(frozen=True)
class RankOneTrajectory(BaseRunStudy):
    """See the module."""

    name: ClassVar[str] = "execution_subspace/rank_one_trajectory"
    title: ClassVar[str] = "Do attention weights move along one principal component?"

    def page(self, known: Known, scale: Scale) -> Page:
        """Shares beside their controls."""
        return rank_one_page(self.title, known, scale)


STUDY = RankOneTrajectory()
