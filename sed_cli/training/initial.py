"""``init=RUN``: training that starts from the weights of another run, where they fit."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sed_cli.config.verbs import AnyTrainConfig
from sed_cli.errors import CheckpointError
from sed_cli.models.labels import LabelAxis
from sed_cli.system.files import standing
from sed_cli.system.structured import open_regular
from sed_cli.system.text import cut_short
from sed_cli.training.checkpoint import WEIGHTS, read_config, resolve_checkpoint
from sed_cli.training.parts import overlaps, part_of
from sed_cli.training.task import TakenPart, Task, Trained

log = logging.getLogger(__name__)

# Every built-in model has a readout of its labels; this is the default.
_READOUT = {"readout.weight": LabelAxis(), "readout.bias": LabelAxis()}
_SHOWN = 8  # labels in a table cell


def find_initial(config: AnyTrainConfig) -> Path:
    """Find the checkpoint that ``config.init`` names.

    Raises:
        CheckpointError: if there is none, or it is for another task.
    """
    folder = resolve_checkpoint(str(config.init), key="init")
    other = read_config(folder)
    if other.task != config.task:
        raise CheckpointError(
            f"init={config.init}: {other.MODEL} (task={other.task}), whose weights do not fit "
            f"{config.MODEL} (task={config.task}): name a run of task={config.task}"
        )
    return folder


def origin_of(config: AnyTrainConfig, earlier: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the origin of the initial weights, for the record of a run; None: random.

    Args:
        config: of the run.
        earlier: entry in the record of the resumed run; it is used if that run has a
            checkpoint.

    Raises:
        CheckpointError: if ``config.init`` cannot be used.
    """
    if config.init is None:
        return None
    if config.resume and standing(Path(config.resume) / "checkpoints" / "last").is_dir():
        return None if earlier is None else dict(earlier)
    folder = find_initial(config)
    return {"checkpoint": str(folder), "sha256": digest_of(folder / WEIGHTS)}


def digest_of(weights: Path) -> str:
    """Return the SHA-256 of a file of weights.

    Raises:
        UserError: if it is no regular file.
    """
    with open_regular(weights) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def initialise(config: AnyTrainConfig, task: Task[Any]) -> None:
    """Copy the weights of ``config.init`` into the model of a task, and log them.

    No random numbers are drawn from torch's generators, so all else is as without ``init``.

    Raises:
        CheckpointError: if the checkpoint is invalid, or no part of it fits.
    """
    folder = find_initial(config)
    with torch.random.fork_rng(devices=[]):
        trained = task.load_trained(folder)
    own = Trained(task.model, task.label_sets)
    rows = take_weights(own, trained, task.take_statistics(trained))
    log.info("init=%s: copied weights", folder)
    for line in [*table(rows), *_left_out(own, trained)]:
        log.info("  %s", line)
    trained_rows = [row for row in rows if row.is_trained]
    if not any(row.taken for row in trained_rows):
        why = cut_short([f"{row.part}: {row.why}" for row in trained_rows], 3, "; ")
        raise CheckpointError(f"init={config.init}: no part of it fits this model ({why})")
    for row in trained_rows:
        if row.fresh and any(overlaps(row.part, name) for name in config.trainer.freeze):
            log.warning(
                "trainer.freeze: of %s, %s would stay random (%s)", row.part, row.fresh, row.why
            )


def take_weights(
    own: Trained, other: Trained, settled: Mapping[str, TakenPart] | None = None
) -> list[TakenPart]:
    """Copy fitting weights of one model into another; return one row per part.

    A part (:func:`sed_cli.training.parts.part_of`) is copied completely or not at all: statistics
    of a batch norm are meaningless after another convolution. Entries of labels follow the labels;
    those of new labels stay unchanged, and so do other inputs if their number differs.

    Args:
        own: the destination, with its labels.
        other: the source.
        settled: rows of parts that are not to be copied.
    """
    settled = settled or {}
    copying = _Copying(own, other)
    rows: list[TakenPart] = []
    for part, names in groupby(own.model.state_dict(), lambda name: part_of(own.model, name)):
        rows += [settled[part]] if part in settled else copying.part(part, list(names))
    return rows


class _Copying:
    """Copies parts of one model into another."""

    def __init__(self, own: Trained, other: Trained) -> None:
        self._own, self._other = own.model.state_dict(), other.model.state_dict()
        self._axes, self._other_axes = _label_axes(own.model), _label_axes(other.model)
        self._labels, self._other_labels = own.labels, other.labels

    @torch.no_grad()
    def part(self, part: str, names: Sequence[str]) -> list[TakenPart]:
        """Copy the fitting entries of a part."""
        for name in names:
            if reason := self._misfit(name):
                reason = f"{name.removeprefix(f'{part}.')}: {reason}"
                return [TakenPart(part, "", "all", reason)]
        labelled = [name for name in names if name in self._axes]
        plain = [name for name in names if name not in self._axes]
        for name in plain:
            self._own[name].copy_(self._other[name])
        beside = [self._inputs(name) for name in labelled if self._axes[name].start]
        rows = []
        if reason := next(filter(None, beside), ""):
            taken = "all but its inputs" if plain else ""
            rows.append(TakenPart(part, taken, "inputs from features", reason))
        elif plain or beside:
            rows.append(TakenPart(part, "all", "", ""))
        title = f"{part}, {self._axes[labelled[0]].of}" if rows and labelled else part
        return [*rows, *self._follow(title, labelled)]

    def _misfit(self, name: str) -> str:
        """Why an entry cannot be copied at all; "": it can."""
        if name not in self._other:
            return "not in the run"
        axis, there = self._axes.get(name), self._other_axes.get(name)
        shapes = [list(state[name].shape) for state in (self._own, self._other)]
        if axis is not None:
            if there is None or (there.axis, there.of) != (axis.axis, axis.of):
                return "its labels are along another axis in the run"
            if axis.is_whole and self._labels.get(axis.of) != self._other_labels.get(axis.of):
                return "its labels have another meaning in the run"
            for shape in shapes:
                shape[axis.axis] = 0
        if shapes[0] == shapes[1]:
            return ""
        here, run = (tuple(state[name].shape) for state in (self._own, self._other))
        return f"{run} in the run, {here} here"

    def _inputs(self, name: str) -> str:
        """Copy entries without labels; return why they do not fit, or ""."""
        (axis, start, *_), there = self._axes[name], self._other_axes[name].start
        if start != there:
            return f"{there} features per frame in the run, {start} here"
        own, other = (state[name].narrow(axis, 0, start) for state in (self._own, self._other))
        own.copy_(other)
        return ""

    def _follow(self, title: str, names: Sequence[str]) -> Iterator[TakenPart]:
        """Copy the entries of common labels in all of a part."""
        names = [name for name in names if self._n_entries(self._own, self._axes, name)]
        if not names:  # such as the inputs of a model without feedback
            return
        which = self._axes[names[0]].of
        own, other = (_places(sets.get(which, ())) for sets in (self._labels, self._other_labels))
        shared, new = [x for x in own if x in other], [x for x in own if x not in other]
        places = [
            torch.tensor([side[x] for x in shared], dtype=torch.int64) for side in (own, other)
        ]
        outputs = [self._copy_labels(name, places, (len(own), len(other))) for name in names]
        n_copied, n_own = min(outputs)
        if not n_copied:
            yield TakenPart(title, "", "all", "the run has none")
            return
        reasons = [f"{which} not in the run"] * bool(new)
        reasons += [f"{n_copied} of {n_own} outputs of each copied"] * (n_copied < n_own)
        taken = _listed(shared) if new else "all"
        yield TakenPart(title, taken, _listed(new), "; ".join(reasons))

    def _copy_labels(
        self, name: str, places: Sequence[Tensor], n_labels: tuple[int, int]
    ) -> tuple[int, int]:
        """Copy entries of labels; return the numbers of copied and of all outputs per label."""
        (axis, start, *_), first = self._axes[name], self._other_axes[name].start
        own, other = self._own[name], self._other[name]
        n_own, n_other = n_labels
        entries = own.shape[axis] - start, other.shape[axis] - first
        if any(n == 0 or size % n for size, n in zip(entries, n_labels, strict=True)):
            return 0, 1
        n_outputs = entries[0] // n_own
        named = self._axes[name].outputs, self._other_axes[name].outputs
        numbered = range(n_outputs), range(entries[1] // n_other)
        fits = [*map(len, named)] == [*map(len, numbered)]
        pairs = _pairs(*(named if fits else numbered))
        for output, of_other in pairs:
            here, there = start + output * n_own + places[0], first + of_other * n_other + places[1]
            values = other.index_select(axis, there.to(other.device))
            own.index_copy_(axis, here.to(own.device), values.to(own))
        return len(pairs), n_outputs

    @staticmethod
    def _n_entries(state: Mapping[str, Tensor], axes: Mapping[str, LabelAxis], name: str) -> int:
        return int(state[name].shape[axes[name].axis] - axes[name].start)


def _pairs(own: Sequence[Any], other: Sequence[Any]) -> list[tuple[int, int]]:
    """Indices of common labels."""
    return [(place, other.index(name)) for place, name in enumerate(own) if name in other]


class _Label(NamedTuple):
    """A key for labels that may occur twice, such as a symbol spelt like the unknown one."""

    text: str
    occurrence: int


def _places(labels: Sequence[str]) -> dict[_Label, int]:
    seen: Counter[str] = Counter()
    places = {}
    for place, label in enumerate(labels):
        places[_Label(label, seen[label])] = place
        seen[label] += 1
    return places


def _listed(labels: Sequence[_Label]) -> str:
    return cut_short([label.text for label in labels], _SHOWN)


def _parts(model: nn.Module) -> set[str]:
    return {part_of(model, name) for name in model.state_dict()}


def _label_axes(model: nn.Module) -> Mapping[str, LabelAxis]:
    axes: Mapping[str, LabelAxis] = getattr(model, "label_axes", _READOUT)
    return axes


def _left_out(own: Trained, other: Trained) -> Iterator[str]:
    """Notes on unused parts and labels."""
    if parts := _parts(other.model) - _parts(own.model):
        yield f"unused parts: {', '.join(sorted(parts))}"
    for name, labels in other.labels.items():
        known = set(own.labels.get(name, ()))
        if left := [label for label in labels if label not in known]:
            yield f"unused {name}: {cut_short(left, _SHOWN)}"


def table(rows: Sequence[TakenPart]) -> Iterator[str]:
    """Format rows in columns of equal width."""
    cells = [("part", "taken", "fresh", "why")]
    cells += [(row.part, row.taken or "-", row.fresh or "-", row.why) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
