"""The model card: purpose, training, scores and limits of a detector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

import yaml

from sed_cli.config.registry import components
from sed_cli.config.settings import described
from sed_cli.config.tools import ExportConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.metrics.detection import COLLAR_S
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.feedbacks import rule_in, rule_named
from sed_cli.system.records import history_rows
from sed_cli.system.structured import read_json_object
from sed_cli.system.text import in_markdown

_NOT_STATED = "not stated"


def find_run(checkpoint: Path) -> Path | None:
    """Return the run folder that contains a checkpoint folder; None if it was moved out."""
    run = checkpoint.absolute().parent.parent
    in_run = checkpoint.absolute().parent.name == "checkpoints" and (run / "run.json").is_file()
    return run if in_run else None


def model_card(
    config: ExportConfig,
    trained: TrainConfig,
    description: Mapping[str, Any],
    checkpoint: Path,
    *,
    n_weights: int,
    files: Sequence[tuple[str, str]],
    checked: Iterable[str],
) -> str:
    """Write the card as Markdown.

    Args:
        config: of the export; its licences are copied.
        trained: configuration of the training run.
        description: as in ``model.json``.
        checkpoint: the checkpoint folder; its run folder is described too.
        n_weights: number of learnt weights.
        files: names of the files beside the card, with descriptions.
        checked: a line for each comparison with PyTorch.
    """
    run = find_run(checkpoint)
    sections = [
        _front_matter(config),
        "# Sound event detector\n",
        _summary(trained, description),
        _section("Files", _table(("file", "what"), [(f"`{n}`", what) for n, what in files])),
        _section("Use", _use(description)),
        _section("Training data", _data(trained)),
        _section("Training", _training(trained, run, n_weights)),
        _section("Figures", _figures(run, checkpoint)),
        _section("Limits", _limits(trained, description)),
        _section("Licence", _licence(config)),
        _section("The exported graphs against PyTorch", "\n".join(f"- {line}" for line in checked)),
    ]
    return "\n".join(sections)


def _section(title: str, text: str) -> str:
    return f"## {title}\n{text.rstrip()}\n"


def _front_matter(config: ExportConfig) -> str:
    """The fields that model hubs look for."""
    fields: dict[str, Any] = {
        "library_name": "onnx",
        "pipeline_tag": "audio-classification",
        "tags": ["sound-event-detection", "onnx", "crnn"],
    }
    if config.licence is not None:
        fields["license"] = config.licence
    return f"---\n{yaml.safe_dump(fields, sort_keys=False)}---\n"


def _summary(trained: TrainConfig, description: Mapping[str, Any]) -> str:
    features, stream = description["features"], description["stream"]
    rule = _rule(description)
    onsets = ", and whether an event of the class starts there" if "outputs" in description else ""
    fed = "Nothing but the features (the baseline)" if rule is None else described(rule)
    return (
        f"A convolutional recurrent network that detects which of {len(description['classes'])} "
        f"classes of sounds are active in a recording, and when; several may overlap. Its "
        f"recurrent layer is fed {fed[0].lower()}{fed[1:]}.\n\n"
        f"- classes: {', '.join(map(in_markdown, description['classes']))}\n"
        f"- input: {features['sample_rate']} Hz mono, as {features['n_mels']} mel bands from "
        f"{features['f_min']:g} to {features['f_max']:g} Hz\n"
        f"- output: a probability for each class every {1000 * stream['hop_s']:g} ms{onsets}\n"
        f"- events: {_postprocessing(description['postprocessing'])}\n"
        f"- delay in a stream: {1000 * stream['look_ahead_s']:.0f} ms, plus the chunk\n"
    )


def _postprocessing(values: Mapping[str, Any]) -> str:
    if "onsets" in values:
        whole = {key: value for key, value in values.items() if key != "onsets"}
        return (
            f"{_postprocessing(whole)}; touching events are split where an event of the class "
            f"begins"
        )
    if values["decoder"] != "threshold":
        return f"by the decoder `{values['decoder']}`, fitted on validation"
    if values["tuned_for"] is not None:
        return f"by thresholds and median filters of each class, tuned for {values['tuned_for']}"
    return "where the probability is above the threshold of the class"


def _use(description: Mapping[str, Any]) -> str:
    rate = description["features"]["sample_rate"]
    return (
        "Intended for finding these classes of sounds in recordings or live streams like the "
        "training data, by people or programs that can tolerate mistakes. Not intended for "
        "decisions about people, for surveillance, for safety alarms without another safeguard, "
        "or for sounds and surroundings that the training data do not contain, unless it has "
        "been tested there.\n\n"
        "```sh\npip install numpy onnxruntime soundfile soxr\n"
        "python detect.py recording.wav\n```\n\n"
        f"`detect.py` shows every step, without PyTorch: samples at {rate} Hz to log-mel, "
        "chunks through `stream.onnx`, probabilities to events. All numbers it needs are in the "
        "metadata of the graphs, and in `model.json`.\n"
    )


def _data(trained: TrainConfig) -> str:
    return (
        "As configured for training, `data.kind: "
        f"{trained.data.kind}`:\n\n"
        f"```yaml\n{_yaml(asdict(trained.data))}```\n"
    )


def _training(trained: TrainConfig, run: Path | None, n_weights: int) -> str:
    model, sampler, trainer = trained.model, trained.sampler, trained.trainer
    rule = rule_in(sampler)
    feedback = f"`{sampler.schedule}` schedule, `{rule.name}` feedback ({described(rule)})"
    rows = [
        ("weights", f"{n_weights:,}"),
        ("model", described(model)),
        ("teacher forcing", feedback if model.has_feedback else "none: nothing is fed back"),
        ("optimiser", described(trainer.optimizer)),
        ("updates", f"learning rate {trainer.lr:g}, batches of {trainer.batch_size} "
                    f"sequences of {trained.data.sequence_length} frames, {trainer.precision}"),
        ("loss", described(trainer.loss)),
        ("seed", str(trained.seed)),
        *_run_rows(trained, run),
    ]  # fmt: skip
    return _table(("", ""), rows)


def _run_rows(trained: TrainConfig, run: Path | None) -> list[tuple[str, str]]:
    if run is None:
        return [("run", "unknown: the checkpoint is not in its run folder")]
    record = _read_json(run / "run.json")
    rows = [
        ("run", f"{record.get('status')}, {record.get('started')} to {record.get('ended')}"),
        ("device", str(record.get("device"))),
        ("configuration", f"hash `{record.get('config_hash')}`"),
        ("data", f"fingerprint `{record.get('data_fingerprint')}`"),
        ("source", f"commit `{record.get('commit')}`"),
        ("versions", _versions(record.get("versions"))),
    ]
    epochs = history_rows(run / "history.csv")
    if epochs:
        rows.insert(0, ("epochs", f"{len(epochs)}, {epochs[-1].get('update')} updates"))
    return rows


def _versions(versions: object) -> str:
    items = versions.items() if isinstance(versions, dict) else ()
    return ", ".join(f"{name} {version}" for name, version in items)


def _figures(run: Path | None, checkpoint: Path) -> str:
    metrics = None if run is None else _read_json(run / "metrics.json")
    if not metrics:
        return "None were found beside the checkpoint: `sedtf eval checkpoint=...` computes them."
    note = "" if checkpoint.name == "best" else (
        "These are figures of the run's best epoch, **not of the checkpoint exported here** "
        f"(`{checkpoint.name}`).\n\n"
    )  # fmt: skip
    kinds = [
        name
        for name, metric in components("metric").items()
        if name in metrics and metric.HEADING and metric.IN_SHORT
    ]
    head = ("class", *(f"{kind} {score}" for kind in kinds for score in ("F1", "ER")))
    try:
        of_classes = metrics.get("per_class", {}).items()
        rows = [(label, *_scores(scores, kinds)) for label, scores in of_classes]
        rows.append(("**all (micro)**", *_scores(metrics, kinds)))
    except (KeyError, TypeError, ValueError, AttributeError):
        return "Those beside the checkpoint cannot be read: `sedtf eval checkpoint=...` makes them."
    return (
        f"{note}On the {metrics.get('split')} split, {metrics.get('n_files')} recordings, running "
        "freely; F1 and error rate (ER) as fractions; segments of 1 s, events with a collar of "
        f"{1000 * metrics.get('collar_s', COLLAR_S):g} ms.\n\n"
        f"{_table(head, rows)}"
    )


def _scores(scores: Mapping[str, Mapping[str, float | None]], kinds: Iterable[str]) -> list[str]:
    values = [scores[kind][name] for kind in kinds for name in ("f1", "er")]
    return ["-" if value is None else f"{value:.3f}" for value in values]


def _limits(trained: TrainConfig, description: Mapping[str, Any]) -> str:
    features, stream = description["features"], description["stream"]
    lines = [
        "It knows only its own classes: any other sound counts as silence, or as one of them.",
        "Figures hold for recordings like those of the test split; other rooms, microphones, "
        "levels and mixtures need separate tests (`sedtf eval data=...`).",
        f"It does not use sound above {features['f_max']:g} Hz.",
        f"Times are multiples of {1000 * stream['hop_s']:g} ms.",
    ]
    if trained.data.kind == "soundscapes":
        lines.insert(
            0,
            "It was trained on **generated sounds**, for trying things out: it has not seen any "
            "real recordings.",
        )
    if (rule := _rule(description)) is not None and rule.decides:
        lines.append(
            "Each decision affects later ones: one that is nearly a tie may differ on another "
            "machine, and with it the decisions after it."
        )
    return "\n".join(f"- {line}" for line in lines)


def _licence(config: ExportConfig) -> str:
    rows = [
        ("this model", config.licence or f"{_NOT_STATED} (`licence=...` when exporting)"),
        ("training data", config.data_licence or f"{_NOT_STATED} (`data_licence=...`)"),
        ("sedtf, and `detect.py`", "MIT"),
    ]
    return _table(("of", "licence"), rows)


# ------------------------------------------------------------------------------- small tools


def _rule(description: Mapping[str, Any]) -> FeedbackRule | None:
    kind = description["feedback"]["kind"]
    return None if kind is None else rule_named(kind)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(in_markdown, line))} |\n" for line in lines)


def _yaml(values: Mapping[str, Any]) -> str:
    """Format settings; folders by their name only."""
    return yaml.safe_dump(_without_folders(values), sort_keys=False, allow_unicode=True)


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        named = {key: inner for key, inner in value.items() if key != "cache_dir"}
        return {key: _without_folders(inner) for key, inner in named.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    is_folder = isinstance(value, str) and PurePath(value).is_absolute()
    return PurePath(value).name if is_folder else value


def _read_json(path: Path) -> dict[str, Any]:
    """Read a file of the run; missing or damaged files are left out of the card."""
    try:
        return read_json_object(path)
    except (OSError, ValueError):
        return {}
