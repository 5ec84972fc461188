"""What does it cost to decode probabilities into events, for each decoder?

An hour of random probabilities of 50 classes at the default hop, with events that last and follow
each other like those that ``semi_markov`` learns from; ``threshold`` is the reference. Times 24,
the figures are those of a day. Writes ``decoding.{csv,md}``.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Task, medians, options, write_table
from sed_cli.data.annotations import Event
from sed_cli.decoding.boxes import BoxDecoder
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.semi_markov import SemiMarkovDecoder
from sed_cli.decoding.thresholds import ThresholdDecoder

CLASSES = tuple(f"class {number}" for number in range(50))
HOP_S, HOUR_S = 0.032, 3600.0


def main(arguments: argparse.Namespace) -> None:
    """Measure and write the table."""
    random = np.random.default_rng(0)
    alone = [_recording(random, overlapping=False) for _ in range(50)]
    together = [_recording(random, overlapping=True) for _ in range(50)]
    probabilities = _probabilities(random)
    decoders = {
        "threshold": ThresholdDecoder.plain(CLASSES, HOP_S),
        "boxes": _boxes(),
        "semi_markov, one chain": _semi_markov(alone, order=1),
        "semi_markov, one chain of order 2": _semi_markov(alone, order=2),
        "semi_markov, a chain for each class": _semi_markov(together, order=1),
    }
    tasks: dict[str, Task] = {
        name: partial(decoder.decode, probabilities, HOUR_S) for name, decoder in decoders.items()
    }
    seconds = medians(
        tasks, repeats=arguments.repeats, budget=arguments.budget, clock=arguments.clock
    )
    rows: list[dict[str, object]] = [
        {"decoder": name, "s for an hour": value, "s for a day": 24 * value}
        for name, value in seconds.items()
    ]
    print(write_table(arguments.output / "decoding", "Decoding, 50 classes", rows))


def _boxes() -> BoxDecoder:
    n = len(CLASSES)
    return BoxDecoder(
        classes=CLASSES,
        hop_s=HOP_S,
        step_frames=(8,) * n,
        ratios=(3.0,) * n,
        thresholds=(0.5,) * n,
        longest_s=10.0,
    )


def _semi_markov(recordings: list[tuple[list[Event], float]], order: int) -> SemiMarkovDecoder:
    model = EventModel.of(recordings, CLASSES, HOP_S, order)
    return SemiMarkovDecoder(classes=CLASSES, hop_s=HOP_S, model=model, lag_s=2.0)


def _recording(random: np.random.Generator, *, overlapping: bool) -> tuple[list[Event], float]:
    events, at_s = [], 0.0
    for _ in range(100):
        length_s = random.uniform(0.2, 3.0)
        events.append(Event(at_s, at_s + length_s, CLASSES[int(random.integers(50))]))
        at_s += 0.5 if overlapping else length_s + random.uniform(0.2, 1.0)
    return events, at_s + 3.0


def _probabilities(random: np.random.Generator) -> NDArray[np.float32]:
    n_frames = int(HOUR_S / HOP_S)
    log_odds = random.normal(-3.0, 2.0, (n_frames, len(CLASSES)))
    for _ in range(n_frames // 60):
        first, label = random.integers(n_frames), random.integers(len(CLASSES))
        log_odds[first : first + random.integers(5, 60), label] += 5.0
    return (1 / (1 + np.exp(-log_odds))).astype(np.float32)


if __name__ == "__main__":
    main(options(__doc__ or ""))
