"""Creating a decoder from its settings, and its ``postprocessing.json`` in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sed_cli.config.evaluation import DecoderConfig
from sed_cli.config.registry import component_named
from sed_cli.decoding.calibration import ConfidenceMap
from sed_cli.decoding.decoder import Decoder, Fitting, described
from sed_cli.decoding.false_alarms import bounded
from sed_cli.decoding.onsets import OnsetDecoder
from sed_cli.decoding.onsets_tuning import activities_alone, fit_onsets
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.errors import CheckpointError, ConfigError, UserError
from sed_cli.system.files import json_text, write_text
from sed_cli.system.structured import read_json_object, why

POSTPROCESSING = "postprocessing.json"
_CALIBRATION = "calibration"
_ONSETS = "onsets"


def fit(settings: DecoderConfig, task: Fitting) -> Decoder:
    """Create the decoder of the settings.

    Raises:
        UserError: if the result could not be read again, or if a bound on false alarms is set and
            it has no thresholds.
    """
    decoder: Decoder = settings.fit(activities_alone(task) if task.onsets else task)
    if settings.name != decoder.NAME:
        raise UserError(
            f"the decoder {settings.name} makes a {type(decoder).__name__} whose NAME is "
            f"{decoder.NAME!r}: expected {settings.name!r}, by which checkpoints find it again"
        )
    if task.onsets:
        decoder = (
            OnsetDecoder.of(decoder, None) if settings.SEPARATES else fit_onsets(decoder, task)
        )
    bound = task.max_false_alarms_per_hour
    return bounded(decoder, task.scored(), bound) if bound is not None and task.tunes else decoder


def save_decoder(
    folder: Path, decoder: Decoder, confidence_map: ConfidenceMap | None = None
) -> None:
    """Write ``postprocessing.json`` into a checkpoint folder, atomically.

    That of ``threshold`` names no decoder, for versions that know no other.
    """
    is_original = isinstance(decoder, ThresholdDecoder)
    values = decoder.as_json() if is_original else described(decoder)
    if confidence_map is not None:
        values[_CALIBRATION] = confidence_map.as_json()
    write_text(folder / POSTPROCESSING, json_text(values), durable=True)


def read_decoder(
    folder: Path, classes: Sequence[str], hop_s: float, *, onsets: bool = False
) -> Decoder:
    """Read the decoder in a checkpoint folder; without one: a fixed threshold of 0.5.

    Args:
        folder: of the checkpoint.
        classes: labels of the columns of probabilities.
        hop_s: seconds from one frame to the next.
        onsets: whether the model has onset outputs.

    Raises:
        CheckpointError: if it exists but is invalid.
    """
    path = folder / POSTPROCESSING
    if not path.exists():
        plain = ThresholdDecoder.plain(classes, hop_s)
        return OnsetDecoder.of(plain) if onsets else plain
    try:
        values = read_json_object(path)
        component = component_named("decoder", str(values.get("decoder", ThresholdDecoder.NAME)))
        decoder: Decoder = component.read(values, tuple(classes), hop_s)
        return OnsetDecoder.from_json(values[_ONSETS], decoder) if onsets else decoder
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else why(error)
        raise CheckpointError(
            f"{path}: invalid ({reason}); without the file every class gets 0.5"
        ) from error


def read_confidence_map(folder: Path) -> ConfidenceMap | None:
    """Read the map of confidences in a checkpoint folder; ``None``: unchanged.

    Raises:
        CheckpointError: if it exists but is invalid.
    """
    path = folder / POSTPROCESSING
    try:
        values = read_json_object(path).get(_CALIBRATION) if path.exists() else None
        return None if values is None else ConfidenceMap.from_json(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else why(error)
        raise CheckpointError(f"{path}: {_CALIBRATION} is invalid ({reason})") from error
