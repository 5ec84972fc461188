"""Coverage of annotations: which classes are annotated in which parts of recordings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sed_cli.config.annotations import SOURCES
from sed_cli.data.annotations import Event, Fault
from sed_cli.data.manifest import Clip
from sed_cli.system.text import cut_short

_NAMED = 8  # classes per line


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """Coverage of a whole split.

    Args:
        classes: classes annotated in every recording, unless a column ``annotated_classes`` of its
            table differs. Others count as annotated in recordings with one of their events.
            ``None``: all.
        unknown_label: label of spans that could not be annotated; ``None``: there are none.
    """

    classes: Collection[str] | None = None
    unknown_label: str | None = None

    def told_apart(
        self, clip: Clip, events: Sequence[Event], length_s: float, classes: Sequence[str]
    ) -> tuple[list[Event], list[Event]]:
        """Divide the annotations of a recording into events and unknown spans.

        Args:
            clip: with its rows.
            events: from these rows, within the recording.
            length_s: of the recording.
            classes: to detect.

        Returns:
            Events of these classes, and spans with the label of the class unknown there.
        """
        spans = [
            event._replace(label=label)
            for event in events
            if event.label == self.unknown_label
            for label in classes
        ]
        told = [row.annotated for row in clip.rows if row.annotated is not None]
        named = {label for annotated in told for label in annotated} if told else None
        if named is None and self.classes is not None:
            named = {*self.classes, *(event.label for event in events)}
        if named is not None:
            spans += [Event(0.0, length_s, label) for label in classes if label not in named]
        return sorted(event for event in events if event.label in classes), sorted(spans)


def unknown_names(
    splits: Mapping[str, Sequence[Clip]], named: Collection[str], classes: Sequence[str], root: Path
) -> Iterator[Fault]:
    """Report annotated classes that are not classes to detect, each once.

    Args:
        splits: with the rows of their recordings.
        named: names in the settings.
        classes: to detect.
        root: of the data set.
    """
    places: dict[str, tuple[Path, int | None]] = dict.fromkeys(named, (root, None))
    for clip in (clip for clips in splits.values() for clip in clips):
        for row in clip.rows:
            for label in row.annotated or ():
                places.setdefault(label, (clip.annotations, row.line))
    for label in sorted(places.keys() - set(classes)):
        yield Fault(
            *places[label],
            f"annotated_classes names {label}, which is not a class: expected one of "
            f"{cut_short(classes, _NAMED)}; choose with data.classes=[...]",
            "the name is skipped",
        )


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Part of a split that is not annotated for a class.

    Args:
        seconds: without annotation.
        share: of its duration.
        n_files: recordings that are affected.
        is_never_silent: whether no part is known to be without the class.
    """

    seconds: float
    share: float
    n_files: int
    is_never_silent: bool


def coverage(clips: Sequence[Clip], classes: Sequence[str]) -> dict[str, Coverage]:
    """Measure the part not annotated, for each incompletely annotated class."""
    total_s = sum(clip.duration_s for clip in clips)
    found = {}
    for label in classes:
        unknown_s = [_unknown_s(clip, label) for clip in clips]
        if not any(unknown_s):
            continue
        active_s = sum(
            _length_s(_joined(event for event in clip.events if event.label == label))
            for clip in clips
        )
        found[label] = Coverage(
            seconds=sum(unknown_s),
            share=sum(unknown_s) / total_s,
            n_files=sum(each > 0 for each in unknown_s),
            is_never_silent=total_s - sum(unknown_s) - active_s < 1e-6,
        )
    return found


def _unknown_s(clip: Clip, label: str) -> float:
    """Seconds in which the presence of a class is unknown, without its events."""
    spans = [span for span in clip.unknown if span.label == label]
    if not spans:
        return 0.0
    events = [event for event in clip.events if event.label == label]
    return _length_s(_joined([*spans, *events])) - _length_s(_joined(events))


def _joined(spans: Collection[Event] | Iterator[Event]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for onset_s, offset_s, _ in sorted(spans):
        if joined and onset_s <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], offset_s)
        else:
            joined.append((onset_s, offset_s))
    return joined


def _length_s(spans: Sequence[tuple[float, float]]) -> float:
    return sum(offset_s - onset_s for onset_s, offset_s in spans)


def lines(splits: Mapping[str, Sequence[Clip]], classes: Sequence[str]) -> Iterator[str]:
    """Describe the part not annotated, one line per split.

    Weakly labelled recordings, which have no times, are skipped.
    """
    for name, clips in splits.items():
        alike: dict[str, list[str]] = {}
        for label, of in () if name in SOURCES else coverage(clips, classes).items():
            what = f"{100 * of.share:.1f} % of the time ({of.n_files:,} of {len(clips):,} files)"
            alike.setdefault(what, []).append(label)
        if alike:
            told = (f"{cut_short(labels, _NAMED)} in {what}" for what, labels in alike.items())
            yield f"{name}: not annotated, and excluded from losses and scores: {'; '.join(told)}"


def warnings(training: Sequence[Clip], classes: Sequence[str]) -> Iterator[str]:
    """Report classes that are never known to be absent."""
    never = [label for label, of in coverage(training, classes).items() if of.is_never_silent]
    if never:
        yield (
            f"no part of the training split is known to be without {cut_short(never, _NAMED)}: "
            "the model would detect them everywhere; annotate some recordings for them completely"
        )


def as_json(splits: Mapping[str, Sequence[Clip]], classes: Sequence[str]) -> dict[str, Any]:
    """The part not annotated, by split and class, for ``data.json``."""
    return {
        name: {label: asdict(of) for label, of in coverage(clips, classes).items()}
        for name, clips in splits.items()
    }
