"""Weights that training loads from another run: matching shapes, and classes by their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sed_cli.models import CRNN, LanguageModel
from sed_cli.models.bidirectional import BidirectionalCRNN
from sed_cli.models.crnn import Normalisation
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.feedbacks.hard import Hard
from sed_cli.models.feedbacks.last_event import LastEvent
from sed_cli.models.feedbacks.trace import Trace
from sed_cli.models.labels import LabelAxis
from sed_cli.training.initial import table, take_weights
from sed_cli.training.task import TakenPart, Trained

SIZES: dict[str, Any] = {"n_mels": 4, "conv_channels": 2, "pooling": [2, 2], "rnn_hidden": 3}
OLD, NEW = ("cat", "dog", "owl"), ("ant", "dog", "cat")


def detector(labels: Sequence[str], kind: type[CRNN] = CRNN, **sizes: Any) -> Trained:
    return Trained(kind(n_classes=len(labels), **{**SIZES, **sizes}), {"labels": labels})


def language(symbols: Sequence[str], source: Sequence[str] | None = None) -> Trained:
    n_source = None if source is None else len(source)
    sizes: Any = {"embedding_size": 2, "rnn_hidden": 3, "dropout": 0.0}
    model = LanguageModel(n_tokens=len(symbols), n_source_tokens=n_source, **sizes)
    return Trained(model, {"labels": symbols, **({} if source is None else {"source": source})})


def taken(own: Trained, other: Trained) -> tuple[dict[str, Tensor], dict[str, TakenPart]]:
    """The state of a model before loading, and the rows of the table by part."""
    before = {name: value.clone() for name, value in own.model.state_dict().items()}
    return before, {row.part: row for row in take_weights(own, other)}


def test_classes_keep_their_rows_of_the_readout_and_their_columns_of_the_feedback() -> None:
    own, other = detector(NEW), detector(OLD)
    before, rows = taken(own, other)
    after, there = own.model.state_dict(), other.model.state_dict()
    for name in ("readout.weight", "readout.bias"):
        assert after[name][0].equal(before[name][0])  # ant
        assert after[name][1].equal(there[name][1])  # dog
        assert after[name][2].equal(there[name][0])  # cat
    inputs, were, those = (state["cell.weight_ih"] for state in (after, before, there))
    assert inputs[:, :2].equal(those[:, :2])  # features
    assert inputs[:, 2].equal(were[:, 2])
    assert inputs[:, 3].equal(those[:, 3])
    assert inputs[:, 4].equal(those[:, 2])
    for name in after.keys() - {"readout.weight", "readout.bias", "cell.weight_ih"}:
        assert after[name].equal(there[name]), name
    assert rows["cell"] == TakenPart("cell", "all", "", "")
    shared = ("dog, cat", "ant", "labels not in the run")
    assert rows["cell, labels"][1:4] == rows["readout"][1:4] == shared


def test_the_same_model_takes_everything() -> None:
    own, other = detector(OLD), detector(OLD)
    _, rows = taken(own, other)
    assert all(row[1:4] == ("all", "", "") for row in rows.values())
    state, there = own.model.state_dict(), other.model.state_dict()
    assert all(state[name].equal(value) for name, value in there.items())


def test_other_features_leave_the_convolutions_and_the_recurrence() -> None:
    own, other = detector(NEW, n_mels=8), detector(OLD)
    before, rows = taken(own, other)
    after, there = own.model.state_dict(), other.model.state_dict()
    assert after["blocks.0.conv.weight"].equal(there["blocks.0.conv.weight"])
    assert after["blocks.1.norm.running_var"].equal(there["blocks.1.norm.running_var"])
    assert after["cell.weight_hh"].equal(there["cell.weight_hh"])
    assert after["cell.weight_ih"][:, :5].equal(before["cell.weight_ih"][:, :5])
    assert after["cell.weight_ih"][:, 5].equal(there["cell.weight_ih"][:, 3])  # dog
    why = "2 features per frame in the run, 4 here"
    assert rows["cell"] == TakenPart("cell", "all but its inputs", "inputs from features", why)
    assert rows["normalisation"].why == "mean: (4,) in the run, (8,) here"


def test_a_block_with_another_kernel_takes_no_statistics_either() -> None:
    own, other = detector(OLD, kernel_size=3), detector(OLD)
    before, rows = taken(own, other)
    after = own.model.state_dict()
    assert all(after[name].equal(before[name]) for name in after if name.startswith("blocks"))
    assert rows["blocks.1"].why == "conv.weight: (2, 2, 5, 5) in the run, (2, 2, 3, 3) here"
    assert rows["cell"].taken == "all"


def test_more_hidden_units_leave_the_convolutions_alone() -> None:
    own, other = detector(OLD, rnn_hidden=4), detector(OLD)
    before, rows = taken(own, other)
    after = own.model.state_dict()
    assert rows["cell"].fresh == rows["readout"].fresh == "all"
    assert all(after[name].equal(before[name]) for name in after if name.startswith("readout"))
    assert rows["blocks.0"].taken == "all"


@pytest.mark.parametrize("has_it", [True, False])
def test_feedback_may_come_and_go(has_it: bool) -> None:
    own, other = detector(NEW, feedback=has_it), detector(OLD, feedback=not has_it)
    before, rows = taken(own, other)
    after, there = own.model.state_dict()["cell.weight_ih"], other.model.state_dict()
    assert after[:, :2].equal(there["cell.weight_ih"][:, :2])
    assert after[:, 2:].equal(before["cell.weight_ih"][:, 2:])
    assert ("cell, labels" in rows) == has_it
    if has_it:
        assert rows["cell, labels"][1:4] == ("", "all", "the run has none")


def test_a_recurrence_of_another_kind_starts_fresh() -> None:
    _, rows = taken(detector(OLD, BidirectionalCRNN), detector(OLD))
    assert rows["gru"].why == "weight_ih_l0: not in the run"
    assert rows["readout"].fresh == "all"
    assert rows["blocks.0"].taken == "all"
    _, both_ways = taken(detector(NEW, BidirectionalCRNN), detector(OLD, BidirectionalCRNN))
    assert both_ways["gru"].taken == "all"
    assert both_ways["readout"].taken == "dog, cat"


class Outputs(nn.Module):
    """Two outputs per label, one after the other, beside a number that is not an output."""

    label_axes = {"readout.weight": LabelAxis(start=1)}  # noqa: RUF012

    def __init__(self, n_labels: int, n_outputs: int = 2) -> None:
        super().__init__()
        self.readout = nn.Linear(1, 1 + n_outputs * n_labels, bias=False)
        nn.init.constant_(self.readout.weight, -1.0)


def test_each_output_of_a_label_follows_it() -> None:
    own, other = Outputs(3), Outputs(3)
    values = [9.0, 0.0, 1.0, 2.0, 10.0, 11.0, 12.0]  # cat, dog, owl, and again
    other.readout.weight.data = torch.tensor(values)[:, None]
    rows = take_weights(Trained(own, {"labels": NEW}), Trained(other, {"labels": OLD}))
    assert own.readout.weight[:, 0].tolist() == [9.0, -1.0, 1.0, 0.0, -1.0, 11.0, 10.0]
    assert rows[-1][1:3] == ("dog, cat", "ant")
    one, two = (Trained(Outputs(3, n_outputs), {"labels": OLD}) for n_outputs in (1, 2))
    fewer = take_weights(two, one)
    assert fewer[-1].why == "1 of 2 outputs of each copied"


def fed_by(rule: FeedbackRule, **sizes: Any) -> Trained:
    own = detector(OLD, onsets=True, **sizes)
    assert isinstance(own.model, CRNN)
    own.model.take_feedback(rule)
    return own


@pytest.mark.parametrize(
    ("own", "other", "places"),
    [  # inputs per class: last event, time since it, activity, each for activities and onsets
        (fed_by(LastEvent()), fed_by(Hard()), {4: 0, 5: 1}),
        (fed_by(Trace()), fed_by(LastEvent()), {0: 4, 1: 5}),
        (fed_by(LastEvent(running=False)), fed_by(LastEvent()), {0: 0, 1: 1, 2: 2, 3: 3}),
        (fed_by(LastEvent(), fed_outputs="onsets"), fed_by(LastEvent()), {0: 1, 1: 3, 2: 5}),
        (fed_by(Hard(), fed_outputs="onsets"), fed_by(Hard(), fed_outputs="activities"), {}),
    ],
)
def test_inputs_that_are_fed_back_take_those_of_the_same_meaning(
    own: Trained, other: Trained, places: dict[int, int]
) -> None:
    before, _ = taken(own, other)
    model, there = own.model, other.model
    assert isinstance(model, CRNN)
    start = model.n_features
    columns, fresh, old = (
        weights[:, start:].unflatten(1, (-1, len(OLD)))
        for weights in (
            model.cell.weight_ih,
            before["cell.weight_ih"],
            there.state_dict()["cell.weight_ih"],
        )
    )
    for place in range(columns.shape[1]):
        wanted = old[:, places[place]] if place in places else fresh[:, place]
        assert torch.equal(columns[:, place], wanted)


def test_a_model_without_a_declaration_of_labels_has_them_in_its_readout() -> None:
    own, other = (nn.ModuleDict({"readout": nn.Linear(2, 3)}) for _ in range(2))
    take_weights(Trained(own, {"labels": NEW}), Trained(other, {"labels": OLD}))
    readout, there = own["readout"], other["readout"]
    assert readout.bias[1:].tolist() == there.bias[[1, 0]].tolist()


def test_symbols_follow_their_vocabulary_and_those_of_the_source_theirs() -> None:
    symbols = ("<end>", "<unk>", "a", "b", "<unk>")  # the last one is a symbol of the data
    own = language(("<end>", "<unk>", "<unk>", "b"), ("<end>", "<unk>", "x", "y"))
    other = language(symbols, ("<end>", "<unk>", "y", "b"))
    before, rows = taken(own, other)
    after, there = own.model.state_dict(), other.model.state_dict()
    for name in ("embedding.weight", "readout.weight", "readout.bias"):
        assert after[name].equal(there[name][[0, 1, 4, 3]]), name
    source, its = after["source_embedding.weight"], there["source_embedding.weight"]
    assert source[[0, 1, 3]].equal(its[[0, 1, 2]])
    assert source[2].equal(before["source_embedding.weight"][2])
    assert rows["source_embedding"].why == "source not in the run"
    assert rows["encoder"].taken == "all"


def test_normalisation_is_that_of_the_mixture() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = 3 + torch.randn(100, 2, generator=random), 5 * torch.rand(300, 2, generator=random)

    def of(frames: Tensor) -> Normalisation:
        made = Normalisation(2)
        made.set_statistics(frames.mean(0), frames.std(0, correction=0))
        return made

    own, old, both = of(one), of(other), of(torch.cat([one, other]))
    own.blend(old, 0.75)  # three of four frames
    assert own.mean.allclose(both.mean)
    assert own.std.allclose(both.std)
    own.blend(old, 1.0)
    assert own.mean.equal(old.mean)
    assert own.std.equal(old.std)


def test_the_table_has_columns() -> None:
    rows = [TakenPart("blocks.0", "all", "", ""), TakenPart("readout", "a", "b", "b is new")]
    assert list(table(rows)) == [
        "part      taken  fresh  why",
        "blocks.0  all    -",
        "readout   a      b      b is new",
    ]
