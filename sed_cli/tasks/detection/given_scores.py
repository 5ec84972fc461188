"""``sedtf eval scores=FOLDER``: decode the published scores of another system, and score them.

No file is decoded with values that were tuned on it: files are divided into parts, and each part
is decoded with values tuned on the others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from sed_cli.config.evaluate import EvalConfig
from sed_cli.config.evaluation import DecoderConfig, EvaluationConfig
from sed_cli.config.provenance import RunRecord
from sed_cli.config.registry import component_named
from sed_cli.data.annotations import write_annotations
from sed_cli.data.score_tables import GivenScores, read_score_set
from sed_cli.data.sets import Recording
from sed_cli.decoding.decoder import Decoder
from sed_cli.decoding.saved import save_decoder
from sed_cli.errors import DataError
from sed_cli.metrics.curves import Scored, threshold_free
from sed_cli.reports.tables import print_metrics
from sed_cli.system.files import json_text, replacing, write_text
from sed_cli.tasks.detection.curves import write_curves
from sed_cli.tasks.detection.evaluate import evaluate_scored
from sed_cli.tasks.detection.fitting import fit_to
from sed_cli.tasks.detection.tally import scored_by

log = logging.getLogger(__name__)

_SEED = 0  # for dividing the files into parts
_DECODERS = "sed_cli.decoding"  # logger of the tuned values


def evaluate_scores(config: EvalConfig, run_dir: Path) -> float | None:
    """Run ``sedtf eval scores=FOLDER``; return the frame-wise F1."""
    assert config.scores is not None
    assert config.annotations is not None
    settings = config.evaluation
    with RunRecord(run_dir, "eval", config, seed=0) as record:
        given = read_score_set(
            Path(config.scores).expanduser(),
            Path(config.annotations).expanduser(),
            None if config.durations is None else Path(config.durations).expanduser(),
        )
        record.update(data_fingerprint=given.data.fingerprint)
        every = given.data.splits["test"]
        log.info(
            "scores: %d recordings, %d classes, frames of %.4g s, %d annotated events",
            len(every),
            len(given.data.classes),
            given.data.hop_s,
            sum(len(each.events) for each in every),
        )
        parts = _parts(every, config.folds, config.tune_share)
        decoders: dict[str, Decoder] = {}
        for tuned_on, scored in parts:
            with _quietly():
                decoder = _fitted(given, settings, tuned_on)
            decoders |= {each.name: decoder for each in scored}
        last = parts[0][0] if config.tune_share is not None else every
        decoder = _fitted(given, settings, last)  # for other recordings of the same system
        scored = [each for each in every if each.name in decoders]
        data = replace(given.data, splits={"test": scored})
        evaluation = evaluate_scored(
            ((each, given.scores[each.name]) for each in scored),
            data,
            "test",
            settings,
            decoder,
            decoder_of=lambda each: decoders[each.name],
        )
        metrics = evaluation.metrics
        n_folds = 1 if config.tune_share is not None else config.folds
        metrics["folds"] = n_folds if settings.tune else None
        if settings.psds:
            as_given = [
                Scored(each.name, each.duration_s, each.events, given.scores[each.name])
                for each in scored
            ]
            metrics["psds"]["as_given"] = {
                name: of["psds"]
                for name, of in threshold_free(as_given, data.classes, data.hop_s).figures.items()
                if name in ("psds1", "psds2")
            }
        write_text(run_dir / "metrics.json", json_text(metrics))
        with replacing(run_dir / "events.tsv") as path:
            write_annotations(path, evaluation.events)
        if decoder.GIVES_BOXES:
            _write_boxes(run_dir / "boxes.tsv", scored, given, decoders)
        if evaluation.curves is not None:
            write_curves(run_dir, evaluation.curves)
        save_decoder(run_dir, decoder)
        print_metrics(metrics, run_dir)
        for name, value in metrics.get("psds", {}).get("as_given", {}).items():
            log.info("%s of the scores as they are: %.3f", name.upper(), value)
    f1: float | None = metrics["frame"]["f1"]
    return f1


def _parts(
    recordings: Sequence[Recording], n_folds: int, share: float | None
) -> list[tuple[list[Recording], list[Recording]]]:
    """Recordings to tune on, and the recordings that are scored with the result."""
    n = len(recordings)
    drawn = [recordings[index] for index in np.random.default_rng(_SEED).permutation(n).tolist()]
    if share is not None:
        n_tuned = min(n - 1, max(1, round(share * n)))
        if n < 2:
            raise DataError(f"tune_share={share}: {n} recording cannot be divided; use more")
        return [(drawn[:n_tuned], drawn[n_tuned:])]
    if n < n_folds:
        raise DataError(f"folds={n_folds}: only {n} recordings; choose fewer folds")
    folds = [drawn[start::n_folds] for start in range(n_folds)]
    return [
        ([each for other in folds if other is not fold for each in other], fold) for fold in folds
    ]


def _fitted(
    given: GivenScores, settings: EvaluationConfig, recordings: Sequence[Recording]
) -> Decoder:
    """The decoder tuned on some recordings; decoders that need training data use these too."""
    kind = settings.decoder or component_named("decoder", "threshold")()
    assert isinstance(kind, DecoderConfig)
    return fit_to(
        replace(settings, decoder=kind, metric=settings.metric or "frame"),
        classes=given.data.classes,
        hop_s=given.data.hop_s,
        training=lambda: recordings,
        validation=recordings,
        scored=lambda: ((each, given.scores[each.name]) for each in recordings),
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the log of each fold's tuning: tuning on all files logs once."""
    logger = logging.getLogger(_DECODERS)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _write_boxes(
    path: Path,
    recordings: Sequence[Recording],
    given: GivenScores,
    decoders: dict[str, Decoder],
) -> None:
    """Write all boxes, in the form that PSDS uses, with their confidences."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("filename\tonset\toffset\tevent_label\tconfidence\n")
        for each in recordings:
            found = scored_by(decoders[each.name], each, given.scores[each.name])
            for onset_s, offset_s, label, confidence in found.boxes or ():
                file.write(
                    f"{each.name}\t{onset_s:.6f}\t{offset_s:.6f}\t{label}\t{confidence:.6f}\n"
                )
