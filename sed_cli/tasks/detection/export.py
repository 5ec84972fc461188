"""``sedtf export``: graphs, everything needed to run them, an example and a model card."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed_cli import __version__
from sed_cli.audio import LogMel
from sed_cli.config.provenance import RunRecord
from sed_cli.config.tools import ExportConfig
from sed_cli.config.verbs import TrainConfig
from sed_cli.decoding.decoder import Decoder, described
from sed_cli.decoding.onsets import OnsetDecoder
from sed_cli.errors import CheckpointError, SedtfError, UserError
from sed_cli.models import CRNN
from sed_cli.reports.tables import results_console
from sed_cli.system.extras import imported
from sed_cli.system.files import flush, json_text, replacing, write_text
from sed_cli.tasks.detection.card import model_card
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.load import load, read_config
from sed_cli.training.checkpoint import resolve_checkpoint

if TYPE_CHECKING:
    import onnx

    from sed_cli.export.check import Difference, Session

log = logging.getLogger(__name__)

# In dB, or relative to the highest power: how much two float32 sums over the same spectrum may
# differ, with a margin; a wrong window or scale is off by whole decibels.
_FEATURE_TOLERANCE = 1e-3

_CARD, _DESCRIPTION = "MODEL_CARD.md", "model.json"
_PURPOSES = {
    "stream.onnx": "a chunk of a stream: log-mel and state in, probabilities and new state out",
    "recording.onnx": "a whole recording: log-mel in, probabilities out",
    "waveform.onnx": "a whole recording: samples in, probabilities out",
    _DESCRIPTION: "features, classes, thresholds, state: everything needed to run the graphs",
    "detect.py": "an example that runs them without PyTorch",
    _CARD: "purpose, training, scores",
}


@dataclass(frozen=True)
class _Exported:
    """A graph that has been checked against PyTorch."""

    content: bytes
    difference: Difference


def export_checkpoint(config: ExportConfig, run_dir: Path) -> None:
    """Run ``sedtf export``: nothing is written unless all graphs agree with PyTorch.

    Raises:
        UserError: if the checkpoint cannot be used, or onnx or onnxruntime is missing.
        SedtfError: if a graph differs from PyTorch by more than ``config.tolerance``.
    """
    checkpoint = resolve_checkpoint(config.checkpoint)
    trained = read_config(checkpoint)
    with RunRecord(run_dir, "export", config, seed=trained.seed) as record:
        for package in ("onnx", "onnxruntime"):
            imported("sedtf export", package, "onnx")
        detector = load(checkpoint)
        _check_model(detector, checkpoint)
        if not isinstance(detector.log_mel, LogMel):
            raise UserError(
                f"sedtf export supports features of feature.kind=logmel only, and {checkpoint} was "
                f"trained on kind={trained.feature.kind}"
            )
        detector.model.eval()
        description = _description(detector)
        graphs = _export(config, detector, description)
        differences = {name: graph.difference for name, graph in graphs.items()}
        description["checked"] = {name: vars(diff) for name, diff in differences.items()}
        record.update(device="cpu", checked=description["checked"])
        texts = {
            "detect.py": _example_for(detector.decoder),
            _CARD: _card(config, trained, detector, description, checkpoint, differences),
            _DESCRIPTION: json_text(description),
        }
        _write(run_dir, {name: graph.content for name, graph in graphs.items()}, texts)
        _print(run_dir, differences)


def _check_model(detector: Detector, checkpoint: Path) -> None:
    """Refuse a model whose recurrence the graphs do not implement.

    Raises:
        CheckpointError: if the class is not the CRNN, or the feedback rule is unknown.
    """
    model = type(detector.model)
    if model is not CRNN:
        raise CheckpointError(
            f"checkpoint={checkpoint}: the graphs implement model=crnn, and {model.__name__} "
            f"({model.__module__.split('.')[0]}) computes differently: use sedtf predict"
        )
    rule = detector.feedback
    if detector.model.has_feedback and not rule.serves_graphs:
        raise CheckpointError(
            f"checkpoint={checkpoint}: it was trained with sampler.feedback={rule.name}, which "
            f"has no ONNX form: use sedtf predict, or add add_to_graph to {type(rule).__name__}"
        )


def _write(run_dir: Path, graphs: Mapping[str, bytes], texts: Mapping[str, str]) -> None:
    """Remove the files of an earlier export, then write this one.

    The description is removed first and written last: if it exists, the export is complete.
    """
    earlier = [_DESCRIPTION, *(name for name in _PURPOSES if name != _DESCRIPTION)]
    for name in earlier:
        if (run_dir / name).is_file():
            (run_dir / name).unlink()
            flush(run_dir)
    for name, content in graphs.items():
        with replacing(run_dir / name, durable=True) as path:
            path.write_bytes(content)
    for name, text in texts.items():
        write_text(run_dir / name, text, durable=True)


def _description(detector: Detector) -> dict[str, Any]:
    from sed_cli.export.metadata import describe

    assert isinstance(detector.log_mel, LogMel)  # others were refused
    return describe(
        detector.model,
        detector.log_mel,
        rule=detector.feedback,
        classes=detector.classes,
        postprocessing=described(detector.decoder),
    )


def _export(
    config: ExportConfig, detector: Detector, description: Mapping[str, Any]
) -> dict[str, _Exported]:
    """Build the graphs and compare each with PyTorch."""
    from sed_cli.export import check, frontend, graphs

    model = detector.model, detector.feedback
    heard = *model, detector.log_mel
    # For each graph: the function that builds it, the one that compares it, and their arguments.
    made: dict[str, tuple[Callable[..., onnx.GraphProto], Callable[..., Difference], Any]] = {
        "stream.onnx": (graphs.stream_graph, check.check_stream, model),
        "recording.onnx": (graphs.recording_graph, check.check_recording, model),
    }
    if config.waveform:
        made["waveform.onnx"] = (frontend.waveform_graph, check.check_waveform, heard)
    exported = {}
    for name, (make, compare, arguments) in made.items():
        content = _serialise(make(*arguments), description)
        difference = compare(_session(content), *arguments, config.tolerance)
        _check(name, difference, config.tolerance)
        exported[name] = _Exported(content, difference)
    return exported


def _serialise(graph: onnx.GraphProto, description: Mapping[str, Any]) -> bytes:
    from sed_cli.export.builder import make_model
    from sed_cli.export.metadata import metadata_props

    model = make_model(graph, metadata_props(description), __version__)
    return bytes(model.SerializeToString())


def _session(content: bytes) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # so that sums are computed in a fixed order
    session: Session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    return session


def _check(name: str, difference: Difference, tolerance: float) -> None:
    if difference.greatest > tolerance:
        raise SedtfError(
            f"{name}: probabilities differ from PyTorch's by {difference.greatest:.1e}, more than "
            f"tolerance={tolerance:g}: nothing was written; try another version of "
            f"onnxruntime, or raise the tolerance"
        )
    if difference.features is not None and difference.features > _FEATURE_TOLERANCE:
        raise SedtfError(
            f"{name}: features differ from PyTorch's by {difference.features:.1e}, more than "
            f"{_FEATURE_TOLERANCE:g}: nothing was written; waveform=false leaves this graph out"
        )


def _card(
    config: ExportConfig,
    trained: TrainConfig,
    detector: Detector,
    description: Mapping[str, Any],
    checkpoint: Path,
    differences: Mapping[str, Difference],
) -> str:
    return model_card(
        config,
        trained,
        description,
        checkpoint,
        n_weights=sum(parameter.numel() for parameter in detector.model.parameters()),
        files=[(name, _PURPOSES[name]) for name in _written(differences) if name != _CARD],
        checked=[
            f"`{name}`: differs by at most {_outcome(diff)}" for name, diff in differences.items()
        ],
    )


def _written(differences: Mapping[str, Difference]) -> list[str]:
    return [name for name in _PURPOSES if name in differences or not name.endswith(".onnx")]


def _outcome(difference: Difference) -> str:
    text = f"{difference.greatest:.1e} over {difference.n_frames} frames"
    if difference.features is not None:
        text += f", features {difference.features:.1e}"
    if difference.n_tied:
        text += f"; {difference.n_tied} frames after a tie in the feedback left out"
    return text


def _print(run_dir: Path, differences: Mapping[str, Difference]) -> None:
    """Print one line per file: its path and, for a graph, its difference from PyTorch."""
    console = results_console()
    for name in _written(differences):
        fields = [str(run_dir / name)]
        if name in differences:
            fields.append(f"differs from PyTorch by at most {_outcome(differences[name])}")
        console.print("\t".join(fields), highlight=False, soft_wrap=True)


def _example_for(decoder: Decoder) -> str:
    if not isinstance(decoder, OnsetDecoder):
        return _example(decoder.DECODES_AS or decoder.NAME)
    path = _examples() / "events" / "onsets.py"
    made = _PARTED.search(path.read_text(encoding="utf-8") + "\n\n")
    assert made is not None
    text = _example_for(decoder.inner).replace(" events(scores, meta", " parted(scores, meta")
    return text.replace("def main(", f"{made[0]}def main(")


def _example(decoder: str) -> str:
    """Text of the example, with the function that decodes events as the decoder does."""
    folder = _examples()
    text = (folder / "detect.py").read_text(encoding="utf-8")
    if decoder == "threshold":
        return text
    own = folder / "events" / f"{decoder}.py"
    if own.is_file():
        made = _EVENTS.search(own.read_text(encoding="utf-8") + "\n\n")
        assert made is not None
        return _EVENTS.sub(lambda _: made[0], text)
    log.warning(
        "evaluation.decoder=%s computes events in sedtf only: detect.py stops after the "
        "probabilities; write its function `events` yourself",
        decoder,
    )
    return _EVENTS.sub(lambda _: _NO_EVENTS, text)


_EVENTS = re.compile(r"^def events\(.*?\n\n\n", re.DOTALL | re.MULTILINE)
_PARTED = re.compile(r"^def parted\(.*?\n\n\n", re.DOTALL | re.MULTILINE)
_NO_EVENTS = """def events(scores, post, hop, end):  # -> onset and offset in seconds, label
    sys.exit(f"the decoder {post['decoder']} exists only in sedtf: implement it here")


"""


def _examples() -> Path:
    """Find the examples: inside an installed wheel, or beside the package."""
    package = Path(__file__).parents[2]
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / "detect.py").is_file():
            return folder
    raise UserError(f"no examples beside {package}: the installation is incomplete; reinstall")
