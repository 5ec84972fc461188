"""How often does the interval of ``sedtf compare`` over training audio cover the true value?

Runs whose error follows a known power law, with noise, are fitted as ``compare`` fits them. The
script counts how often the 95 % interval at four times the largest amount covers the known error.

    python -m benchmarks.amounts            # 60 simulations per case, 100 draws each: minutes
"""

from __future__ import annotations

import argparse

import numpy as np

from sed_cli.comparison import amounts
from sed_cli.comparison.amounts import PowerLaw, drawn_curves, fit_curve

KNOWN = PowerLaw(0.2, 0.4, 0.5)
CASES = ((5, 3), (4, 3), (5, 1), (4, 1))  # amounts, each twice the previous one; runs of each


def main() -> None:
    """Print a line per case: how often the interval covered, and its mean width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=60)
    parser.add_argument("--draws", type=int, default=100)
    given = parser.parse_args()
    amounts.N_DRAWN = given.draws
    for n_amounts, n_runs in CASES:
        minutes = np.repeat(2.0 ** np.arange(n_amounts), n_runs)
        ahead = np.array(4 * minutes.max())
        held, widths = 0, []
        for seed in range(given.simulations):
            noise = np.random.default_rng(seed).normal(0, 0.03 * minutes**-0.3)
            errors = KNOWN.at(minutes) + noise
            drawn = drawn_curves(fit_curve(minutes, errors), minutes, errors, seed)
            low, high = np.quantile([each.at(ahead) for each in drawn], [0.025, 0.975])
            held += int(low <= KNOWN.at(ahead) <= high)
            widths.append(high - low)
        print(
            f"{n_amounts} amounts, {n_runs} runs each: held in {held} of {given.simulations}, "
            f"mean width {np.mean(widths):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
