"""Events whose order a label language model scores: its queries, and its use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from sed_cli.cli.run import run as run_verb
from sed_cli.cli.verbs import Flags
from sed_cli.data.annotations import Event
from sed_cli.data.frames import events_to_activities
from sed_cli.data.manifest import Clip
from sed_cli.decoding import semi_markov
from sed_cli.decoding.decoder import Decoder, Fitting
from sed_cli.decoding.event_model import EventModel
from sed_cli.decoding.language import LanguageDecoder, fit
from sed_cli.errors import UserError
from sed_cli.tasks.sequence.next_labels import load_label_model
from tests.conftest import TINY, TINY_SOUNDSCAPES, Sedtf
from tests.decoding.test_semi_markov import CLASSES, HOP_S, heard, song


class Saying:
    """A label model that knows the successors of each label, and the first labels."""

    name = "what was said"

    def __init__(
        self,
        following: dict[str, dict[str, float]],
        *,
        known: str = "abc",
        gap_s: float | None = None,
    ) -> None:
        self.following, self.known, self.gap_s = following, known, gap_s
        self.asked: list[str] = []

    def column(self, label: str) -> int | None:
        return self.known.index(label) if label in self.known else None

    def predict(self, prefixes: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        self.asked += ["".join(prefix) for prefix in prefixes]
        rows = [self.following["".join(prefix)[-1:]] for prefix in prefixes]
        return np.array([[row.get(one, 0.0) for one in [*self.known, "end"]] for row in rows])


# As in the songs, except that b is followed by a.
OTHER = {"": {"a": 1.0}, "a": {"a": 0.5, "b": 0.5}, "b": {"a": 1.0}, "c": {"a": 1.0}}


def task_of(recordings: Sequence[tuple[list[Event], float]]) -> Fitting:
    clips = [
        Clip(path=Path(f"{number}.wav"), name=f"{number}.wav", duration_s=s, events=tuple(events))
        for number, (events, s) in enumerate(recordings)
    ]
    return Fitting(
        classes=CLASSES,
        hop_s=HOP_S,
        metric="frame",
        collar_s=0.2,
        min_gap_s=0.0,
        min_duration_s=0.0,
        tune=False,
        training=lambda: clips,
        validation=(),
        scored=lambda: (),
    )


def learnt(task: Fitting, order: int = 2) -> EventModel:
    return semi_markov.learn(task, order, "language")


@pytest.fixture
def task() -> Fitting:
    return task_of([song(40, seed) for seed in range(6)])


def test_where_frames_do_not_tell_the_language_model_decides(task: Fitting) -> None:
    events, length_s = song(24, seed=99)
    probabilities = heard(events, length_s, 0.3)
    unclear = events[11]  # c, after b
    span = slice(round(unclear.onset_s / HOP_S), round(unclear.offset_s / HOP_S))
    probabilities[span] = 0.6

    def label(decoder: Decoder) -> str:
        return decoder.decode(probabilities, length_s)[11].label

    assert label(semi_markov.fit(task, order=1, lag_s=1.0)) == "c"
    decoder = fit(task, Saying(OTHER), order=1, lag_s=1.0)
    assert label(decoder) == "a"
    assert label(replace(decoder, language_weight=0.0)) in {"a", "b", "c"}
    assert decoder.model.durations.tolist() == learnt(task).durations.tolist()


def test_a_model_is_asked_at_places_of_the_training_labels(task: Fitting) -> None:
    model = Saying(OTHER)
    fit(task, model, order=2, lag_s=1.0)
    assert model.asked[0] == ""
    assert len(model.asked) > 20
    whole = "aabc" * 16
    assert all(whole.startswith(prefix) or len(prefix) <= 2 for prefix in model.asked)


def test_a_silence_that_ends_a_sequence_begins_another(task: Fitting) -> None:
    with_gaps = task_of([song(8, seed, gap_s=0.5) for seed in range(6)])
    model = Saying(OTHER, gap_s=0.4)
    fit(with_gaps, model, order=1, lag_s=1.0)
    assert {len(prefix) for prefix in model.asked} == {0, 1}


def test_after_an_end_comes_what_comes_first(task: Fitting) -> None:
    following = {**OTHER, "": {"a": 0.25, "c": 0.75}, "b": {"a": 0.2, "end": 0.8}}
    decoder = fit(task, Saying(following), order=1, lag_s=1.0)
    after_b = np.exp(decoder.model.following[decoder.model.histories.index((1,))])
    assert after_b == pytest.approx([0.2 + 0.8 * 0.25, 0.0, 0.8 * 0.75], abs=1e-3)


def test_classes_that_it_does_not_know_are_unlikely_and_named(
    task: Fitting, caplog: pytest.LogCaptureFixture
) -> None:
    following = {"": {"a": 1.0}, "a": {"a": 0.5, "b": 0.5}, "b": {"a": 1.0}, "c": {"a": 1.0}}
    decoder = fit(task, Saying(following, known="ab"), order=1, lag_s=1.0)
    assert "what was said does not know c: treated as unlikely" in caplog.text
    assert (decoder.model.following[:, 2] < np.log(1e-4)).all()
    with pytest.raises(UserError, match="knows none of the classes a, b, c"):
        fit(task, Saying(following, known="xy"), order=1, lag_s=1.0)


def test_a_checkpoint_gives_it_back(task: Fitting) -> None:
    decoder = replace(fit(task, Saying(OTHER), order=2, lag_s=1.0), language_weight=0.5)
    again = LanguageDecoder.from_json(json.loads(json.dumps(decoder.as_json())), CLASSES, HOP_S)
    assert again == decoder
    assert again != replace(decoder, model=learnt(task))


def test_the_weight_of_the_language_is_tuned_after_that_of_the_frames(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recordings = [song(24, seed) for seed in range(4)]
    validation = [
        SimpleNamespace(
            events=tuple(events),
            duration_s=length_s,
            activities=events_to_activities(events, CLASSES, round(length_s / HOP_S), HOP_S),
        )
        for events, length_s in (song(24, seed) for seed in range(20, 26))
    ]
    scored = [(one, heard(list(one.events), one.duration_s, 5.0)) for one in validation]
    task = replace(
        task_of(recordings),
        tune=True,
        validation=validation,  # type: ignore[arg-type]
        scored=lambda: scored,  # type: ignore[arg-type,return-value]
    )
    caplog.set_level("INFO")
    decoder = fit(task, Saying(OTHER), order=1, lag_s=1.0)
    assert "frames: weight of the log-odds" in caplog.text
    assert "language: weight of the language model" in caplog.text
    assert decoder.tuned_for == "frame"
    assert decoder.language_weight <= 1  # it is wrong about what follows b


@pytest.fixture(scope="module")
def labels_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    for split, n in (("train", 12), ("validation", 4)):
        rows = ["filename\tonset\toffset\tevent_label"]
        for file in range(n):
            for number, label in enumerate(("bell", "siren", "engine hum") * 4):
                rows.append(f"{split}{file}.wav\t{number}\t{number + 0.5}\t{label}")
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    command = ["train", "task=sequence", "data=labels", "model.rnn_hidden=16", "device=cpu"]
    command += [f"data.{split}={folder / split}.tsv" for split in ("train", "validation")]
    command += ["trainer.epochs=12", "trainer.lr=0.02", f"output_dir={folder / 'run'}"]
    assert run_verb(command[0], command[1:], Flags()) == 0
    return folder / "run"


@pytest.mark.slow
def test_the_command_line_fits_it_keeps_it_and_finds_the_same_events(
    sedtf: Sedtf, labels_run: Path, tmp_path: Path
) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    asked = ["evaluation.decoder=language", f"evaluation.language={labels_run}"]
    one_at_a_time = [*TINY_SOUNDSCAPES, "data.polyphony=1"]
    assert sedtf("train", *TINY, *one_at_a_time, *asked, f"output_dir={run}") == 0
    kept = json.loads((run / "metrics.json").read_text())
    assert kept["decoder"] == "language"
    assert sedtf("eval", f"checkpoint={run}", f"output_dir={again}") == 0
    assert (again / "events.tsv").read_text() == (run / "events.tsv").read_text()
    ngram = ["evaluation.decoder={name: language, model: ngram}", asked[1]]
    other = tmp_path / "ngram"
    assert sedtf("eval", f"checkpoint={run}", *ngram, f"output_dir={other}") == 0
    saved = json.loads((run / "checkpoints/best/postprocessing.json").read_text())
    assert str(labels_run) in saved["language"]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (["evaluation.decoder=language"], "needs a language model of labels"),
        (
            ["evaluation.decoder=language", "evaluation.language={labels}"],
            "classes overlap in training",
        ),
        (["evaluation.language=nowhere"], "evaluation.language=nowhere"),
    ],
)
def test_what_it_cannot_do_is_reported_before_a_training_begins(
    settings: list[str],
    fault: str,
    sedtf: Sedtf,
    labels_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [each.format(labels=labels_run) for each in settings]
    assert sedtf("train", *TINY, *TINY_SOUNDSCAPES, *given, f"output_dir={tmp_path / 'run'}") == 2
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_models_predict_distributions_of_labels_and_end(labels_run: Path) -> None:
    for kind in ("recurrent", "ngram"):
        model = load_label_model(labels_run, kind)
        columns = [model.column(label) for label in ("bell", "siren", "engine hum")]
        assert sorted(columns) == [0, 1, 2]  # type: ignore[type-var]
        assert model.column("whistle") is None
        rows = model.predict([[], ["bell"], ["bell", "siren"], ["bell", "siren", "engine hum"]])
        assert rows.shape == (4, 4)
        assert (rows > 0).all()
        assert (rows.sum(axis=1) <= 1 + 1e-9).all()
        likeliest = rows.argmax(axis=1).tolist()
        assert likeliest == [columns[0], columns[1], columns[2], columns[0]], kind
