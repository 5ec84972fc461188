"""How a score grows with the amount of training audio: points, a fitted curve, an extrapolation.

The error is fitted by a power law that flattens out, ``a + b n**-c`` of n minutes (Hestness et al.,
"Deep learning scaling is predictable, empirically", 2017; Viering and Loog, "The shape of learning
curves", 2022, on where it holds). The uncertainty is that of a wild bootstrap of the runs (Wu 1986;
Davidson and Flachaire 2008): each run's distance from the curve gets a random sign, which keeps
the larger spread of small amounts, and the curve is refitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sed_cli.metrics.detection import CONFIDENCE
from sed_cli.metrics.statistics import summarise

AMOUNTS = ("data.train_share", "data.train_minutes")
"""Keys of the amount of training data."""
DRAWS = "data.train_seed"
ASIDE = (*AMOUNTS, DRAWS)
"""Keys that do not split a curve: another draw is another run of the same amount."""

LEAST_SIZES = 4  # one more than the curve has parameters
TIMES = (2, 4)  # the largest amount, for which scores are predicted
N_DRAWN = 300  # bootstrap curves
_N_ON_CURVE = 60  # points of a curve in the figure

Floats = NDArray[np.float64]
# slower: indistinguishable from a constant; faster: beyond any known exponent
_LOWEST_C, _HIGHEST_C = (0.05, 2.0)


def curves_over_amounts(comparison: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Points, fit and extrapolation for each other setting; ``None`` if all amounts are equal.

    Args:
        comparison: with ``principal``, ``differing`` and ``rows``, as in ``comparison.json``.

    Returns:
        For each curve ``name``, ``sizes`` (from the smallest: ``amount``, ``minutes``, ``mean``,
        ``low``, ``high``, ``n`` and ``runs``, the minutes and the score of each), and ``fit``, or
        ``why_no_fit``.
    """
    if not set(AMOUNTS) & set(comparison["differing"]):
        return None
    principal = comparison["principal"]
    points: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in comparison["rows"]:
        score, training = row["scores"][principal["kind"]][principal["name"]], row["training"]
        values = [value for value in score["by_seed"].values() if value is not None]
        if training["minutes"] is None or not values:
            continue
        others = {k: v for k, v in row["columns"].items() if k not in ASIDE and v != "-"}
        of_curve = points.setdefault(", ".join(f"{k}={v}" for k, v in others.items()), {})
        of_size = of_curve.setdefault(training["amount"], [])
        of_size += [(training["minutes"], value) for value in values]
    return [_curve(name, sizes, principal) for name, sizes in points.items()] or None


def amount_of(settings: Mapping[str, Any]) -> str:
    """Amount of training data in words: a setting with its value, or ``all``."""
    for key in AMOUNTS:
        value = settings.get(key)
        if value is not None and not (key == AMOUNTS[0] and value == 1):
            return f"{key}={value:g}"
    return "all"


def _curve(
    name: str, sizes: Mapping[str, Sequence[tuple[float, float]]], principal: Mapping[str, Any]
) -> dict[str, Any]:
    found = [
        {
            "amount": amount,
            "minutes": float(np.mean([minutes for minutes, _ in runs])),
            **asdict(summarise(dict(enumerate(value for _, value in runs)))),
            "runs": [list(run) for run in sorted(runs)],
        }
        for amount, runs in sizes.items()
    ]
    found.sort(key=lambda size: size["minutes"])
    runs = np.array([run for size in found for run in size["runs"]])
    fit, why = _fit(runs, len(found), principal)
    return {"name": name, "sizes": found, "fit": fit, "why_no_fit": why}


def _fit(
    runs: Floats, n_sizes: int, principal: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    """Fit the runs (R, 2), minutes and score of each; or return why not."""
    if n_sizes < LEAST_SIZES:
        return None, f"{n_sizes} amounts of training audio; a curve needs {LEAST_SIZES}"
    if not principal["lower_is_better"] and not principal["is_fraction"]:
        return None, f"{principal['title']} is neither an error nor one minus an error"
    minutes, scores = runs.T
    turn = _same if principal["lower_is_better"] else _opposite
    try:
        curve = fit_curve(minutes, turn(scores))
    except RuntimeError as error:
        return None, f"the fit does not converge ({error})"
    drawn = drawn_curves(curve, minutes, turn(scores))

    def scores_at(amounts: Floats) -> dict[str, list[float]]:
        tail = (1 - CONFIDENCE) / 2
        band = np.quantile([turn(each.at(amounts)) for each in drawn], [tail, 1 - tail], axis=0)
        values = zip(("score", "low", "high"), (turn(curve.at(amounts)), *band), strict=True)
        return {key: [float(value) for value in of] for key, of in values}

    largest = float(minutes.max())
    ahead = scores_at(largest * np.array(TIMES, dtype=np.float64))
    on_curve = np.geomspace(minutes.min(), largest * max(TIMES), _N_ON_CURVE)
    return {
        **curve._asdict(),
        "n_runs": len(scores),
        "n_drawn": len(drawn),
        "predicted": [
            {"times": times, "minutes": times * largest, **{k: v[n] for k, v in ahead.items()}}
            for n, times in enumerate(TIMES)
        ],
        "band": {"minutes": on_curve.tolist(), **scores_at(on_curve)},
    }, None


def _same(values: Floats) -> Floats:
    return values


def _opposite(values: Floats) -> Floats:
    return 1 - values


# ------------------------------------------------------------------------------- the fit


class PowerLaw(NamedTuple):
    """The error ``a + b n**-c`` of n minutes of training audio."""

    a: float
    b: float
    c: float

    def at(self, minutes: Floats) -> Floats:
        """Errors for amounts of any shape."""
        return np.asarray(self.a + self.b * minutes**-self.c)


def fit_curve(minutes: Floats, errors: Floats) -> PowerLaw:
    """Fit the power law to the errors (R,) of runs, by least squares with all of a, b, c >= 0.

    Raises:
        RuntimeError: if the fit does not converge.
    """
    from scipy.optimize import curve_fit  # slow to import

    unit = float(minutes.max())  # so that b is the part of the error that more data can remove
    floor, last = float(errors.min()), float(errors[minutes == unit].mean())
    start = (max(floor / 2, 1e-6), max(last - floor / 2, 1e-6), 0.5)
    found, _ = curve_fit(
        _error,
        minutes / unit,
        errors,
        p0=start,
        jac=_slopes,
        bounds=((0.0, 0.0, _LOWEST_C), (np.inf, np.inf, _HIGHEST_C)),
        max_nfev=2000,
    )
    a, b, c = (float(value) for value in found)
    return PowerLaw(a, b * unit**c, c)


def _error(n: Floats, a: float, b: float, c: float) -> Floats:
    return np.asarray(a + b * n**-c)


def _slopes(n: Floats, a: float, b: float, c: float) -> Floats:
    power = n**-c
    return np.stack([np.ones_like(n), power, -b * power * np.log(n)], axis=1)


def drawn_curves(curve: PowerLaw, minutes: Floats, errors: Floats, seed: int = 0) -> list[PowerLaw]:
    """Alternative curves, by a wild bootstrap of the runs.

    Residuals are widened for the three fitted parameters, and for the uncertainty of the variance
    of few residuals, as in a t interval.
    """
    random = np.random.default_rng(seed)
    expected, n_free = curve.at(minutes), max(1, len(errors) - 3)
    residuals = (errors - expected) * math.sqrt(len(errors) / n_free)
    curves = []
    for _ in range(N_DRAWN):
        signs = random.choice([-1.0, 1.0], len(errors))
        scale = math.sqrt(n_free / random.chisquare(n_free))
        try:
            curves.append(fit_curve(minutes, expected + scale * signs * residuals))
        except RuntimeError:  # a rare draw that does not converge is ignored
            continue
    return curves
