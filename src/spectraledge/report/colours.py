"""One colour per arm, the same in every figure of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

__all__ = ["PALETTE", "arm_colours", "colour_of"]

# Seven of Okabe and Ito's colours and a wine red; their yellow is too faint on white, and their
# black is reserved for text. Distances under simulated colour blindness are tested.
PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#882255",
    "#6b6b6b",
)


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """One colour per arm name, in order; made once per page so that an arm keeps its colour.

    Args:
        arms: Distinct arm names, at most as many as `PALETTE` has colours.

    Returns:
        Arm name to ``#rrggbb``.

    Raises:
        ValueError: If names repeat or there are more arms than colours that can be told apart.

    Example:
        >>> arm_colours(["L2", "LRD"])
        {'L2': '#0072b2', 'LRD': '#d55e00'}
    """
    if len(set(arms)) != len(arms):
        raise ValueError(f"expected distinct arm names, got {list(arms)}")
    if len(arms) > len(PALETTE):
        raise ValueError(
            f"expected at most {len(PALETTE)} arms, got {len(arms)}; more colours cannot be told "
            "apart: spread the arms over several pages, or pass your own mapping of colours"
        )
    return dict(zip(arms, PALETTE))


def colour_of(arm: str, colours: Mapping[str, str]) -> str:
    """The colour of an arm.

    Args:
        arm: Arm name.
        colours: Mapping made by `arm_colours`.

    Returns:
        A colour as ``#rrggbb``.

    Raises:
        KeyError: If the arm has no colour; the message lists those that have.
    """
    if arm in colours:
        return colours[arm]
    closest = get_close_matches(arm, colours, n=1)
    advice = f"; did you mean {closest[0]!r}?" if closest else ""
    raise KeyError(f"no colour for arm {arm!r}; known: {', '.join(colours)}{advice}")
