"""Claims of `rank_one_trajectory` about shares where the published runs stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

from spectraledge.experiments.execution_subspace.released_shares import (
    LAYER_MEANS,
)
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    Run,
    per_seed,
    published,
    seed_mean,
    surviving,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["concluded", "share_claims", "start_claims"]

Status = Literal["holds", "fails", "undecided"]
UNKNOWN = "nothing known yet"
ENDS = "Read where the published runs stopped (third evaluation in a row at 0.98). "
# Share of a component that may be neglected.
NEGLIGIBLE = 0.1
# Tolerance of a reproduction, in shares.
NEAR = 0.02


def share_claims(cells: Cells) -> list[Verdict]:
    """Size of the first component, of the others, and against chance."""
    verdicts = [
        _range(cells, "Layer means", cells.means, (0.68, 0.83), "68–83 % (released: 68.2–76.8 %)"),
        _range(
            cells, "Single matrices", cells.matrices(), (0.70, 0.94),
            "70–94 % (released: 62.8–83.1 %)",
        ),
        _one_component(cells),
        _above_walk(cells),
        _above_diffusion(cells),
    ]  # fmt: skip
    return [*_reproduced(cells), *verdicts]


def start_claims(cells: Cells) -> list[Verdict]:
    """What decay of the initial weights explains."""
    value, query = cells.matrices("value", "output"), cells.matrices("query", "key")
    return [
        _survives(
            cells, value, "W_V and W_O", "78–82 % and 63–75 % released; near the walk's 51 % "
            "without the decayed start in one run of ours",
        ),
        _survives(
            cells, query, "W_Q and W_K", "66–73 % released; 56–66 % without the decayed start in "
            "one run of ours",
        ),
        _survives(
            cells, ("attention",), "all attention weights as one vector", "variant without "
            "released numbers",
        ),
        _survives(
            cells, ("model",), "all parameters as one vector", "not reported; 96 % in our first "
            "look, embeddings that shrink",
        ),
        _beyond_forgetting(cells),
    ]  # fmt: skip


def concluded(
    claim: str,
    paper: str,
    words: str,
    status: Status,
    rule: str,
    *,
    whole: bool,
) -> Verdict:
    """A verdict, undecided until every run that it is about is known."""
    if whole:
        return Verdict(claim, paper, words, status, rule)
    return Verdict(claim, paper, f"{words}; some runs are missing", "undecided", rule)


def _ends(
    runs: Iterable[Run], output: str, scopes: Iterable[str]
) -> tuple[Interval, Interval] | None:
    """Lowest and highest of a seed over operations and scopes, each at 97.5 %."""
    listed, measures = list(runs), [published(output, scope) for scope in scopes]
    lowest, highest = (mean_of(per_seed(listed, measures, g), confidence=0.975)
                       for g in (min, max))  # fmt: skip
    return None if lowest is None or highest is None else (lowest, highest)


def _range(
    cells: Cells, what: str, scopes: Sequence[str], limits: tuple[float, float], paper: str
) -> Verdict:
    claim = f"{what}: the first component explains {limits[0]:.0%} to {limits[1]:.0%}"
    rule = (
        f"{ENDS}Runs of the grokking operations that generalised. Holds if the intervals of the "
        "lowest and the highest share of a seed lie within the range; fails if one lies outside."
    )
    ends = _ends(cells.generalised(), "first_share", scopes)
    if ends is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    found = {decide(ends[0], above=limits[0]), decide(ends[1], below=limits[1])}
    words = f"lowest {share_words(ends[0])}, highest {share_words(ends[1])} (97.5 % each)"
    return concluded(claim, paper, words, joined(found), rule, whole=cells.whole(cells.grokking))


def joined(statuses: Iterable[Status]) -> Status:
    """Status of a claim all of whose parts must hold."""
    found = set(statuses)
    return "fails" if "fails" in found else "undecided" if "undecided" in found else "holds"


def _one_component(cells: Cells) -> Verdict:
    claim = "One component is enough: the second explains less than 10 %"
    paper = "“~1 component”; released figure: PC2 14–24 %, PC3 3.5–5.5 %"
    rule = (
        f"{ENDS}Decided on the mean over layers and grokking operations. A random walk of equal "
        "steps gives its second component 15.2 % and its third 6.8 %."
    )
    second, third = (seed_mean(cells.generalised(), f"component {k}", cells.means) for k in (2, 3))
    if second is None:
        words = "not recorded in these rows" if cells.generalised() else UNKNOWN
        return Verdict(claim, paper, words, "undecided", rule)
    words = f"PC2 {share_words(second)}, PC3 {share_words(third)}"
    status = decide(second, below=NEGLIGIBLE)
    return concluded(claim, paper, words, status, rule, whole=cells.whole(cells.grokking))


def _above_walk(cells: Cells) -> Verdict:
    claim = "In every operation, hard ones too, PC1 is 5 deviations above a random walk"
    paper = "5–20 σ, all above 5 σ; released figure: +40…+109, hard operations −73…−30"
    rule = (
        f"{ENDS}Hard operations at their end, after 5000 and not 200,000 steps. Matrices of the "
        "last layer, as published; decided on the lowest of a seed. The deviation of the walk is "
        "of order 1/√D in D parameters, so that z grows with the width of a model and says "
        "nothing about the size of the excess."
    )
    runs = cells.runs(cells.regime.operations)
    # A grokking operation that did not generalise has no published end.
    runs = [r for r in runs if r.operation in cells.hard] + cells.generalised()
    scopes = [s for s in cells.matrices() if s.startswith(cells.last_layer)]
    ends = _ends(runs, "z_score", scopes)
    if ends is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    words = (
        f"z from {short(ends[0])} to {short(ends[1])}; excess over the walk on average "
        f"{share_words(seed_mean(runs, 'excess', scopes))}, {_deviation(runs, scopes)}"
    )
    whole = cells.whole(cells.regime.operations)
    return concluded(claim, paper, words, decide(ends[0], above=5), rule, whole=whole)


def _deviation(runs: Sequence[Run], scopes: Sequence[str]) -> str:
    def of(scope: str, run: Run) -> float:
        z = published("z_score", scope)(run)
        return published("excess", scope)(run) / z if z else float("nan")

    found = mean_of(per_seed(runs, [partial(of, scope) for scope in scopes]))
    return "one deviation is " + ("unknown" if found is None else f"{found.centre:.4f}")


def _above_diffusion(cells: Cells) -> Verdict:
    claim = "PC1 of every attention matrix is above the 60.8 % of isotropic diffusion"
    paper = "not compared; the lowest released share is 62.8 %"
    rule = f"{ENDS}Decided on the lowest share of a seed over grokking operations and matrices."
    ends = _ends(cells.generalised(), "first_share", cells.matrices())
    if ends is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    words = f"lowest {share_words(ends[0])}"
    status = decide(ends[0], above=0.608)
    return concluded(claim, paper, words, status, rule, whole=cells.whole(cells.grokking))


def _survives(cells: Cells, scopes: Sequence[str], what: str, paper: str) -> Verdict:
    claim = f"PC1 of {what} is more than decay of the initial weights"
    rule = (
        f"{ENDS}Holds if more than half of the excess over the random walk is left once "
        "W_0 Π(1 − lr·wd) is taken out of the trajectory, which needs no learning; fails if less "
        "is. Both are compared with the walk of the whole trajectory's step lengths."
    )
    runs = cells.generalised()
    found = mean_of(surviving(runs, scopes))
    first = seed_mean(runs, "first_share", scopes)
    if found is None or first is None:
        return Verdict(claim, paper, UNKNOWN if not runs else "no excess", "undecided", rule)
    left, walk, cosine = (
        seed_mean(runs, output, scopes)
        for output in (
            "first_share_without_decayed_start", "random_walk_share", "start_cosine",
        )
    )  # fmt: skip
    words = (
        f"{share_words(first)}; without the decayed start {share_words(left)}; walk "
        f"{share_words(walk)}; left of the excess {share_words(found)}; cosine of PC1 with W_0 "
        f"{share_words(cosine)}"
    )
    status = decide(found, above=0.5)
    return concluded(claim, paper, words, status, rule, whole=cells.whole(cells.grokking))


def _beyond_forgetting(cells: Cells) -> Verdict:
    claim = "PC1 is above that of a random walk that forgets its start"
    paper = "not compared"
    rule = (
        f"{ENDS}The Ornstein–Uhlenbeck null starts at W_0, decays as the weights do, and takes "
        "random steps of equal length. Decided on the mean over matrices and operations."
    )
    runs = cells.generalised()

    def beyond(scope: str, run: Run) -> float:
        null = published("ornstein_uhlenbeck_share", scope)(run)
        return published("first_share", scope)(run) - null

    def over(*kinds: str) -> Interval | None:
        scopes = cells.matrices(*kinds)
        return mean_of(per_seed(runs, [partial(beyond, scope) for scope in scopes]))

    found = over()
    if found is None:
        return Verdict(claim, paper, UNKNOWN, "undecided", rule)
    words = (
        f"excess {share_words(found)}; W_Q and W_K {share_words(over('query', 'key'))}; "
        f"W_V and W_O {share_words(over('value', 'output'))}"
    )
    status = decide(found, above=0)
    return concluded(claim, paper, words, status, rule, whole=cells.whole(cells.grokking))


def _reproduced(cells: Cells) -> Iterator[Verdict]:
    # The released numbers are of the published size and mean nothing for another.
    if cells.regime.name != "published":
        return
    claim = "Our layer means are the released ones within 2 points"
    measured = [
        abs(found.centre - LAYER_MEANS[operation, layer][0] / 100)
        for operation in cells.grokking
        for layer in cells.layers
        if (found := seed_mean(cells.generalised([operation]), "first_share",
                               [f"layer{layer} mean"]))
    ]  # fmt: skip
    rule = f"{ENDS}Largest difference between our mean over seeds and the released one."
    if not measured:
        yield Verdict(claim, "68.9–75.8 %", UNKNOWN, "undecided", rule)
        return
    status: Status = "holds" if max(measured) < NEAR else "fails"
    words = f"largest difference {max(measured):.3f}, mean {sum(measured) / len(measured):.3f}"
    whole = cells.whole(cells.grokking)
    yield concluded(claim, "68.9–75.8 %", words, status, rule, whole=whole)
