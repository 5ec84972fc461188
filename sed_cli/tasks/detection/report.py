"""``sedtf report``: everything known about a run, gathered for one page."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from sed_cli.config.data import DATA_SETS, DataConfig, RecordedConfig
from sed_cli.config.faults import is_usable
from sed_cli.config.identity import flattened
from sed_cli.config.monitors import best_epoch, column_of
from sed_cli.config.provenance import RunRecord, choose_device, set_threads
from sed_cli.config.registry import components, original
from sed_cli.config.tools import ReportConfig
from sed_cli.config.training import DetectorModelConfig
from sed_cli.config.values import build
from sed_cli.config.verbs import TrainConfig
from sed_cli.data.annotations import Event, read_annotations
from sed_cli.data.sets import DataSet, load_data
from sed_cli.decoding.onsets import of_activities
from sed_cli.errors import CheckpointError, DataError, UserError
from sed_cli.metrics.detection import COLLAR_S
from sed_cli.metrics.metric import all_metrics
from sed_cli.metrics.outcomes import OUTCOMES
from sed_cli.reports.page import Explored, write_page
from sed_cli.system.hydra_records import found_from, given_words
from sed_cli.system.records import history_rows, run_settings
from sed_cli.system.structured import read_json_object, why
from sed_cli.tasks.detection.evaluate import whole_set
from sed_cli.tasks.detection.examination import Examination, examine
from sed_cli.tasks.detection.explorer import examined_content, explored
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.tasks.detection.running import probabilities_of, run_freely

log = logging.getLogger(__name__)

PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The source of probabilities for a run's recordings."""

    checkpoint: Path
    trained: TrainConfig
    data: DataConfig
    split: str


def report_run(config: ReportConfig, run_dir: Path) -> None:
    """Run ``sedtf report``."""
    with RunRecord(run_dir, "report", config, seed=0), set_threads(config.threads):
        folder = Path(config.run).expanduser()
        content = _described(folder)
        shown: Iterable[Explored] = ()
        try:
            source = _source(folder, content)
            data = load_data(
                source.data,
                source.trained.feature,
                splits=[source.split],
                classes=content["classes"] or None,
            )
            collar_s = content["metrics"].get("collar_s", COLLAR_S)
            examination = _examine(source, data, folder, config, collar_s)
        except (CheckpointError, DataError) as error:
            note = f"Neither recordings nor probabilities can be shown: {error}"
            content["notes"].append(note)
            log.warning("%s", note)
        else:
            content |= examined_content(examination, content, data.hop_s)
            log_mel = source.trained.feature.build()
            shown = (explored(file, log_mel, examination.classes) for file in examination.files)
        n_bytes = write_page(run_dir / PAGE, content, shown)
        log.info("%d files to listen to, %.1f MB", len(content["files"]), n_bytes / 1e6)
        print(run_dir / PAGE)  # noqa: T201


# ------------------------------------------------------------------------ from the run folder


def _described(folder: Path) -> dict[str, Any]:
    """:func:`describe_run` for a folder whose files may come from anyone."""
    try:
        return describe_run(folder)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder}: run.json, metrics.json or .hydra/config.yaml was not written by sedtf "
            f"({why(error)})"
        ) from error


def describe_run(folder: Path) -> dict[str, Any]:
    """Gather the information that a run folder holds without its recordings.

    Returns:
        The content of the page, as JSON, except for the parts that need recordings.

    Raises:
        UserError: if the folder is not that of a run, or the run has nothing to show yet.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected one of sedtf train or eval")
    record = _json(folder / "run.json")
    verb = record.get("verb", "train")
    if not record or verb not in ("train", "eval"):
        raise UserError(
            f"{folder}: not the folder of a run of sedtf train or eval (see its run.json)"
        )
    metrics = _json(folder / "metrics.json")
    settings = run_settings(folder)
    training = _training_folder(folder, verb)
    history = _history(training / "history.csv") if training else None
    if not metrics and not history:
        raise UserError(
            f"{folder}: has neither metrics.json nor history.csv, so there is nothing to report; "
            f"the run is {record.get('status', 'of unknown status')}"
        )
    notes = []
    if record.get("status") != "completed":
        notes.append(f"This run did not complete: {record.get('status')}.")
    if not metrics:
        notes.append("There are no scores: the run did not reach the test split.")
    trained = run_settings(training) if training else {}
    monitor = str(trained.get("trainer", {}).get("monitor", "validation_f1"))
    return {
        "title": folder.resolve().name,
        "folder": str(folder.resolve()),
        "record": record,
        "metrics": metrics or None,
        "classes": list(metrics.get("per_class", {})),
        "kinds": _kinds(metrics),
        "settings": _finite(flattened(settings)),
        "given": given_words(folder),
        "history": history,
        "monitor": column_of(monitor),
        "best_epoch": best_epoch(history, monitor) if history else None,
        "feeds_back": _feeds_back(trained.get("model", {})),
        "notes": notes,
        "outcomes": OUTCOMES,
        "files": [],
    }


def _feeds_back(model: Mapping[str, Any]) -> bool:
    """Whether a sampler was used, as far as is known: the plugin of a model may be unnamed."""
    named = {**original(DetectorModelConfig, "sed"), **model}
    known = components("model").get(str(named["kind"]))
    if known is None or not issubclass(known, DetectorModelConfig):
        return True
    try:
        return build(known, model).has_feedback
    except (OmegaConfBaseException, ValueError):  # written by another version of the plugin
        return True


def _kinds(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Describe the metrics that have figures."""
    collar = f"{metrics.get('collar_s', COLLAR_S):g} s"
    return [
        {
            "name": metric.name,
            "title": metric.TITLE,
            "counted": metric.COUNTED,
            "meaning": (metric.__doc__ or "").splitlines()[0].replace("the collar", collar),
            "figures": [asdict(figure) for figure in metric.FIGURES],
            "in_short": metric.IN_SHORT,
            "has_classes": bool(metric.HEADING),
        }
        for metric in all_metrics()
        if metric.name in metrics
    ]


def _json(path: Path) -> dict[str, Any]:
    """Read a file of a run folder; empty if it is missing."""
    try:
        return dict(_finite(read_json_object(path)))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({why(error)})") from error


def _finite(values: Any) -> Any:
    """Values that a page can hold: numbers that browsers cannot read become null."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list):
        return list(map(_finite, values))
    return None if isinstance(values, int | float) and not is_usable(values) else values


def _training_folder(folder: Path, verb: str) -> Path | None:
    """Folder of the training run: the run itself, or the one its checkpoint comes from."""
    if verb == "train":
        return folder
    named = run_settings(folder).get("checkpoint")
    if not isinstance(named, str):
        return None
    checkpoint = found_from(folder, named)
    for place in (checkpoint, checkpoint.parent.parent):
        if (place / "history.csv").is_file():
            return place
    return None


def _history(path: Path) -> dict[str, list[float | None]] | None:
    """Columns of ``history.csv``; ``None`` for cells without a number."""
    rows = history_rows(path)
    if not rows:
        return None
    return {name: [_number(row[name]) for row in rows] for name in rows[0]}


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# ------------------------------------------------------------------------ with its recordings


def _source(folder: Path, content: dict[str, Any]) -> _Source:
    if not content["metrics"]:
        raise DataError("the run has not been evaluated")
    if content["record"].get("verb", "train") == "train":
        trained = read_config(folder)
        return _Source(checkpoint=folder, trained=trained, data=trained.data, split="test")
    values = run_settings(folder)
    if not isinstance(values.get("checkpoint"), str):
        raise DataError(f"{folder / '.hydra' / 'config.yaml'} names no checkpoint")
    checkpoint = found_from(folder, values["checkpoint"])
    trained = read_config(checkpoint)
    data, split = trained.data, str(values.get("split", "test"))
    if values.get("data"):
        data = whole_set(_data_of(values["data"], folder), split, data)
    if isinstance(data, RecordedConfig):
        data = replace(data, root=str(found_from(folder, data.root)))
    return _Source(checkpoint=checkpoint, trained=trained, data=data, split=split)


def _data_of(values: dict[str, Any], folder: Path) -> DataConfig:
    """Data of an evaluation, without the location of its cache."""
    try:
        data = build(DATA_SETS[values.pop("kind")], values)
    except (OmegaConfBaseException, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / '.hydra' / 'config.yaml'}: data cannot be interpreted ({why(error)})"
        ) from error
    return replace(data, cache_dir=None, cache_limit_gb=None)


def _examine(
    source: _Source, data: DataSet, folder: Path, config: ReportConfig, collar_s: float
) -> Examination:
    recordings = data.splits.get(source.split)
    if not recordings:
        raise DataError(f"the data set no longer has a {source.split} split")
    events = _detected(folder / "events.tsv", data.classes)
    strangers = set(events) ^ {recording.name for recording in recordings}
    if strangers:
        raise DataError(
            f"the recordings differ from those that the run was scored on "
            f"({len(strangers)} differ, such as {min(strangers)})"
        )
    detector = load(source.checkpoint, choose_device(config.device))
    logits = tqdm(
        run_freely(detector, recordings),
        total=len(recordings),
        desc="examine",
        leave=False,
        disable=None,
    )
    return examine(
        (
            (recording, of_activities(probabilities_of(of_one), len(data.classes)))
            for recording, of_one in logits
        ),
        events,
        data.classes,
        data.hop_s,
        n_kept=config.files,
        longest_s=config.longest_s,
        collar_s=collar_s,
    )


def _detected(path: Path, classes: Sequence[str]) -> dict[str, list[Event]]:
    """Detected events that the run wrote, by file."""
    if not path.is_file():
        raise DataError(f"{path} is missing; it should hold the detected events")
    events = read_annotations(path).events
    unknown = {e.label for of_file in events.values() for e in of_file} - set(classes)
    if unknown:
        raise DataError(f"{path} holds labels unknown to the detector: {', '.join(unknown)}")
    return events
