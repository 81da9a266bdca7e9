"""Many small logistic regressions at once, with Firth's penalty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["LogisticFits", "firth_logistic"]

ITERATIONS = 100
# Of the coefficients; a boundary then has some 1e-9 of the range tried.
PRECISION = 1e-7
# Of a Newton step in units of the intercept and the standardised slope: further the curve is not
# the parabola that Newton takes it for.
LONGEST_STEP = 2.0


@dataclass(frozen=True, eq=False)
class LogisticFits:
    """W fits of P(x) = 1 / (1 + exp(−(intercept + slope·z))), with z = (x − centre) / scale.

    Args:
        intercept: ``(W,)``.
        slope: ``(W,)`` of z.
        covariance: ``(W, 2, 2)`` of (intercept, slope): the inverse Fisher information.
        centre: Mean of the places x.
        scale: Their standard deviation.
    """

    intercept: Float[np.ndarray, " W"]
    slope: Float[np.ndarray, " W"]
    covariance: Float[np.ndarray, "W 2 2"]
    centre: float
    scale: float

    def falls(self, level: float, low: float, high: float) -> Bool[np.ndarray, " W"]:
        """Whether P falls through the level between two places instead of rising."""
        goal = np.log(level / (1 - level))
        at = [self.intercept + self.slope * (x - self.centre) / self.scale for x in (low, high)]
        return (at[0] > goal) & (at[1] < goal)

    def crossing(self, level: float) -> tuple[Float[np.ndarray, " W"], Float[np.ndarray, " W"]]:
        """Where P = level, and its standard error (delta method) for independent attempts.

        Args:
            level: Share in (0, 1).

        Returns:
            Places and errors. A curve that does not rise crosses far out, on the side that its
            intercept tells.
        """
        slope = np.maximum(self.slope, 1e-3)
        place = (np.log(level / (1 - level)) - self.intercept) / slope
        gradient = np.stack([np.ones_like(place), place], axis=-1) / slope[:, None]
        variance = np.einsum("wi,wij,wj->w", gradient, self.covariance, gradient)
        return self.centre + self.scale * place, self.scale * np.sqrt(variance)


def firth_logistic(
    places: Float[np.ndarray, " F"],
    success: Float[np.ndarray, "W F"],
    trials: Float[np.ndarray, "W F"],
) -> LogisticFits:
    """Logistic regressions with Firth's penalty: the likelihood times the root of |information|.

    Where all runs below a fraction fail and all above succeed (common with few seeds) the
    likelihood has no maximum: the slope runs off to infinity. The penalty, Jeffreys' prior, makes
    it finite whatever the data, removes the first-order bias, has nothing to tune and does not
    depend on the units of x; a prior on log slope would do the first too, but asks for a scale.
    Newton's steps for all W fits at once.

    Args:
        places: ``(F,)`` where P is observed, at least two different ones.
        success: ``(W, F)`` successes.
        trials: ``(W, F)`` trials; 0 leaves a place out.

    Returns:
        The fits.

    Source:
        Firth (1993), Biometrika 80; for separation: Heinze and Schemper (2002).

    Example:
        >>> two, yes = np.array([0.0, 1.0]), np.array([[0.0, 3.0]])
        >>> firth_logistic(two, yes, np.array([[3.0, 3.0]])).crossing(0.5)[0].round(6).tolist()
        [0.5]
    """
    centre, scale = float(places.mean()), float(places.std())
    z = (places - centre) / scale
    design = np.stack([np.ones_like(z), z], axis=1)
    fit, covariance = _maximised(design, success, trials)
    return LogisticFits(fit[:, 0], fit[:, 1], covariance, centre, scale)


def _maximised(
    design: Float[np.ndarray, "F 2"],
    success: Float[np.ndarray, "W F"],
    trials: Float[np.ndarray, "W F"],
) -> tuple[Float[np.ndarray, "W 2"], Float[np.ndarray, "W 2 2"]]:
    """Coefficients, and the inverse information there."""
    # One loop without functions of its own: this is what a thousand resamples spend their time in.
    fit = np.zeros((len(success), 2))
    outer = np.einsum("fi,fj->fij", design, design).reshape(-1, 4)
    for _ in range(ITERATIONS):
        chance = 1 / (1 + np.exp(-(fit @ design.T).clip(-500, 500)))
        weights = trials * chance * (1 - chance)
        a, b, _, d = (weights @ outer).T
        # With all trials at one place there is no inverse; this is finite, and cut off later.
        determinant = np.maximum(a * d - b * b, 1e-12 * np.maximum(a * d, 1e-200))
        covariance = np.stack([d, -b, -b, a], axis=-1) / determinant[:, None]
        leverage = weights * (covariance @ outer.T)
        score = (success - trials * chance + leverage * (0.5 - chance)) @ design
        step = np.einsum("wij,wj->wi", covariance.reshape(-1, 2, 2), score)
        step /= np.maximum(1, np.abs(step).max(1, keepdims=True) / LONGEST_STEP)
        fit += step
        if np.abs(step).max() < PRECISION:
            break
    return fit, covariance.reshape(-1, 2, 2)
