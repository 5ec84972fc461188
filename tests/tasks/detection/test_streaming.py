"""A detector on chunks: numbers and events equal those of the whole, as early as possible."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import sed_cli.tasks.detection.detector
from sed_cli.audio.front_ends.logmel import LogMelConfig
from sed_cli.data.annotations import Event
from sed_cli.decoding.decoder import StreamEvent
from sed_cli.decoding.postprocessing import PostProcessing
from sed_cli.decoding.thresholds import ThresholdDecoder
from sed_cli.decoding.tracking import threshold_tracker
from sed_cli.errors import DataError
from sed_cli.models import CRNN
from sed_cli.tasks.detection.chunks import LogitStream
from sed_cli.tasks.detection.detector import Detector
from sed_cli.tasks.detection.streaming import FrameStream
from tests.models.making import make_crnn

CLASSES = ("one", "two", "three")
HOP = 200


@cache
def _model(
    *, feedback: bool = True, pooling: Sequence[int] = (5, 2), kernel_size: int = 5, seed: int = 0
) -> CRNN:
    """Return a model whose decisions change often: large weights, its own statistics."""
    torch.manual_seed(seed)
    crnn = make_crnn(
        n_mels=10,
        n_classes=len(CLASSES),
        conv_channels=4,
        pooling=pooling,
        kernel_size=kernel_size,
        rnn_hidden=8,
        feedback=feedback,
    )
    with torch.no_grad():
        crnn.normalisation.set_statistics(torch.full((10,), -50.0), torch.full((10,), 20.0))
        for block in crnn.blocks:
            block.norm.running_mean.normal_(0, 0.3)  # type: ignore[operator, union-attr]
            block.norm.running_var.uniform_(0.2, 0.6)  # type: ignore[operator, union-attr]
            block.norm.bias.normal_()  # type: ignore[operator, union-attr]
        crnn.readout.weight.mul_(8)
    _enliven(crnn)
    return crnn


@torch.no_grad()
def _enliven(crnn: CRNN) -> None:
    """Choose the biases that make decisions change most often."""
    log_mel = detector(crnn).log_mel(torch.from_numpy(sound(32_000))[None])[:, 0]
    features = crnn.eval().encode(log_mel)
    best, most = crnn.readout.bias.clone(), -1
    for _ in range(40):
        logits = crnn.decode(features)[0][0]  # (T, C)
        changes = int((logits > 0).diff(dim=0).sum(dim=0).clamp(max=30).sum())
        if changes > most:
            best, most = crnn.readout.bias.clone(), changes
        crnn.readout.bias -= torch.rand(3) * logits.median(dim=0).values
    crnn.readout.bias.copy_(best)


def detector(crnn: CRNN | None = None, **options: Any) -> Detector:
    log_mel = LogMelConfig(
        sample_rate=8000, window_length=400, hop_length=HOP, n_fft=512, n_mels=10
    ).build()
    return Detector(crnn or model(), log_mel=log_mel, classes=CLASSES, **options)


def sound(n_samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Bursts of noise and of tones."""
    random = np.random.default_rng(seed)
    n_parts = -(-n_samples // 900)
    level = np.repeat(10 ** random.uniform(-4, 0, n_parts), 900)[:n_samples]
    pitch = np.repeat(random.uniform(100, 3000, n_parts), 900)[:n_samples]
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / 8000)
    return np.asarray(level * (0.7 * tone + 0.3 * random.uniform(-1, 1, n_samples)), np.float32)


def cut(items: Any, sizes: Sequence[int]) -> list[Any]:
    """Cut into pieces of ``sizes``, repeatedly, until nothing is left."""
    pieces, start = [], 0
    while start < len(items):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(items[start : start + size])
        start += size
    return pieces


def events_of(reports: Sequence[StreamEvent]) -> list[Event]:
    return sorted(report.event for report in reports if report.event is not None)


def model(**options: Any) -> CRNN:
    return copy.deepcopy(_model(**options))


MODELS: dict[str, Callable[[], CRNN]] = {
    "default": model,
    "no feedback": lambda: model(feedback=False),
    "three blocks": lambda: model(pooling=(5, 2, 1)),
    "no context": lambda: model(kernel_size=1),
    "wide": lambda: model(pooling=(2, 5), kernel_size=9),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "feedback", ["hard", "soft", pytest.param("trace", marks=pytest.mark.slow)]
)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n_frames=st.one_of(st.integers(1, 80), st.integers(1, 400)),
    sizes=st.lists(st.one_of(st.integers(1, 9), st.integers(1, 150)), min_size=1, max_size=4),
)
def test_logits_of_chunks_are_those_of_the_whole(
    name: str, feedback: Any, n_frames: int, sizes: list[int]
) -> None:
    crnn = MODELS[name]().eval()
    log_mel = 20 * torch.randn(n_frames, 10, generator=torch.Generator().manual_seed(1)) - 50
    with torch.no_grad():
        expected = crnn(log_mel[None], feedback=feedback)[0]

    stream = LogitStream(crnn, feedback=feedback)
    pieces = [*cut(log_mel, sizes), log_mel[:0]]
    logits = torch.cat([*(stream.push(piece) for piece in pieces), stream.finish()])

    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_logits_do_not_depend_on_the_pieces_even_where_the_feedback_ties() -> None:
    """If a logit is at the threshold, its last bit decides the feedback and everything after."""
    crnn = model().eval()
    log_mel = 20 * torch.randn(300, 10, generator=torch.Generator().manual_seed(2)) - 50
    for frame in (20, 90, 170):  # put a class of this frame at the threshold, as well as can be
        for _ in range(20):
            stream = LogitStream(crnn)
            logits = torch.cat([stream.push(log_mel), stream.finish()])
            crnn.readout.bias.data[frame % 3] -= logits[frame, frame % 3]

        results = []
        for sizes in ([1], [7, 64], [300], [63, 1, 130]):
            stream = LogitStream(crnn)
            pieces = [stream.push(piece) for piece in cut(log_mel, sizes)]
            results.append(torch.cat([*pieces, stream.finish()]))
        for result in results[1:]:
            torch.testing.assert_close(result, results[0], rtol=0, atol=0)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 8000, 11025, 22050]),
    n_samples=st.integers(1, 40_000),
    sizes=st.lists(st.one_of(st.integers(1, 300), st.integers(1, 20_000)), min_size=1, max_size=3),
)
def test_probabilities_of_pieces_are_those_of_the_whole(
    rate: int, n_samples: int, sizes: list[int]
) -> None:
    made, samples = detector(), sound(n_samples)
    stream = FrameStream(made, rate)
    sizes = [*sizes, 1 + n_samples // 40]

    pieces = [*(stream.push(piece) for piece in cut(samples, sizes)), stream.finish()]

    ours = np.concatenate([piece.probabilities for piece in pieces])
    log_mel = np.concatenate([piece.log_mel for piece in pieces])
    np.testing.assert_allclose(ours, made.probabilities(samples, rate), rtol=0, atol=1e-5)
    assert len(log_mel) == len(ours)


def test_samples_one_by_one_make_the_same_probabilities() -> None:
    made, samples = detector(), sound(700)
    stream = FrameStream(made, 8000)

    pieces = [*(stream.push(sample) for sample in samples[:, None]), stream.finish()]

    ours = np.concatenate([piece.probabilities for piece in pieces])
    np.testing.assert_allclose(ours, made.probabilities(samples), rtol=0, atol=1e-5)


def decoder_of(postprocessing: PostProcessing, hop_s: float = HOP / 8000) -> ThresholdDecoder:
    return ThresholdDecoder(classes=tuple(CLASSES), hop_s=hop_s, postprocessing=postprocessing)


POSTPROCESSINGS = st.builds(
    PostProcessing,
    thresholds=st.tuples(*[st.sampled_from([0.2, 0.5, 0.7])] * 3),
    filter_frames=st.tuples(*[st.sampled_from([1, 1, 3, 7, 15])] * 3),
    min_gap_s=st.sampled_from([0.0, 0.025, 0.05, 0.11]),
    min_duration_s=st.sampled_from([0.0, 0.025, 0.06, 0.2]),
)


@settings(max_examples=100, deadline=None)
@given(
    postprocessing=POSTPROCESSINGS,
    n_frames=st.one_of(st.integers(0, 20), st.integers(0, 200)),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    stay=st.sampled_from([0.0, 0.7, 0.95]),
    rest=st.floats(0, 1),
)
def test_tracked_events_are_those_of_the_whole(
    postprocessing: PostProcessing,
    n_frames: int,
    sizes: list[int],
    seed: int,
    stay: float,
    rest: float,
) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.random((n_frames, 3), dtype=np.float32)
    for frame in range(1, n_frames):  # make runs of some length
        stays = random.random(3) < stay
        probabilities[frame, stays] = probabilities[frame - 1, stays]
    duration_s = (max(n_frames - 1, 0) + rest) * 0.025

    def track(sizes: Sequence[int]) -> list[StreamEvent]:
        tracker, reports, known = threshold_tracker(CLASSES, postprocessing, 0.025), [], 0
        for piece in cut(probabilities, sizes):
            known += len(piece)
            reports += tracker.push(piece, min((known + 5) * 0.025, duration_s))
        return reports + tracker.finish(duration_s)

    reports = track(sizes)

    expected = decoder_of(postprocessing, 0.025).events(probabilities, duration_s)
    assert events_of(reports) == expected
    for label in CLASSES:
        kinds = [report.kind for report in reports if report.label == label]
        assert kinds == ["start", "end"] * (len(kinds) // 2)
        onsets = [report.onset_s for report in reports if report.label == label]
        assert onsets[::2] == onsets[1::2]

    def key(report: StreamEvent) -> tuple[object, ...]:
        return (report.onset_s, report.label, report.kind, report.time_s, report.confidence)

    # What is reported, confidence included, does not depend on the pieces.
    assert sorted(map(key, reports)) == sorted(map(key, track([10_000])))


def test_confidence_is_the_mean_probability_of_the_frames() -> None:
    probabilities = np.zeros((10, 3), np.float32)
    probabilities[3:6, 1] = [0.6, 0.8, 0.7]
    tracker = threshold_tracker(CLASSES, PostProcessing.plain(3), 0.5)

    reports = [r for p in probabilities for r in tracker.push(p[None], 100.0)]

    start, end = reports
    assert (start.kind, start.label, start.onset_s, start.offset_s) == ("start", "two", 1.5, None)
    assert (end.kind, end.label, end.onset_s, end.offset_s) == ("end", "two", 1.5, 3.0)
    assert start.confidence == pytest.approx(0.6)
    assert end.confidence == pytest.approx(0.7)
    assert start.event is None
    assert end.event == Event(1.5, 3.0, "two")


@settings(max_examples=15, deadline=None)
@given(
    postprocessing=POSTPROCESSINGS,
    rate=st.sampled_from([8000, 8000, 16000]),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=3),
    seed=st.integers(0, 50),
)
def test_streamed_events_are_those_of_the_whole(
    postprocessing: PostProcessing, rate: int, sizes: list[int], seed: int
) -> None:
    made, samples = detector(decoder=decoder_of(postprocessing)), sound(16_000, seed)
    stream = made.stream(rate)

    reports = [r for piece in cut(samples, [*sizes, 700]) for r in stream.push(piece)]
    reports += stream.finish()

    expected = made.decoder.events(made.probabilities(samples, rate), len(samples) / rate)
    assert events_of(reports) == expected == made.predict(samples, rate)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize(
    "postprocessing",
    [
        PostProcessing.plain(3),
        PostProcessing(
            thresholds=(0.5,) * 3, filter_frames=(1, 3, 9), min_gap_s=0.06, min_duration_s=0.05
        ),
    ],
    ids=["plain", "filters"],
)
@pytest.mark.parametrize("name", ["default", "no context", "wide"])
def test_reports_come_within_the_latency(
    name: str, postprocessing: PostProcessing, rate: int
) -> None:
    """Counted in pushed samples, so that the clock does not matter."""
    stream = detector(MODELS[name](), decoder=decoder_of(postprocessing)).stream(rate)
    hop = HOP * rate // 8000
    lags_s: list[float] = []
    for piece in cut(sound(4 * rate, seed=1), [hop]):
        lags_s += [stream.duration_s - report.time_s for report in stream.push(piece)]

    assert len(lags_s) >= 6
    assert max(lags_s) <= stream.latency_s + 1e-9
    # No slack is hidden in the bound: two hops at most, one for where the event falls between hops.
    if postprocessing.min_gap_s == 0:
        assert max(lags_s) > stream.latency_s - 2 * HOP / 8000
        assert min(lags_s) > 0


def test_the_latency_of_the_default_model_is_a_quarter_of_a_second() -> None:
    made = Detector(
        make_crnn(n_mels=40, n_classes=1),
        log_mel=LogMelConfig().build(),
        classes=["x"],
        feedback="hard",
    )

    # 6 frames of look-ahead, half a window of 1024, one hop.
    assert made.stream().latency_s == (6 * 512 + 512 + 512) / 16000 == 0.256
    assert 0.28 < made.stream(48000).latency_s < 0.31


def test_what_has_been_reported_does_not_depend_on_what_follows() -> None:
    first, other = sound(20_000), sound(20_000, seed=9)
    stream, again = detector().stream(), detector().stream()

    assert stream.push(first) == again.push(first)
    assert stream.push(other) != again.push(other[::-1])


def test_memory_does_not_grow_with_the_stream() -> None:
    stream = detector().stream()
    for seed in range(100):
        stream.push(sound(8000, seed))

    frames = stream._frames
    assert len(frames._log_mel._held) < 64 * HOP + 8000 + 1024
    assert len(frames._logits._held) < 64 + 2 * 4 + 40
    assert all(len(t._active) + len(t._undecided) < 10 for t in stream._tracker._tracks)
    assert frames._logits.n_logits == 100 * 8000 // HOP - 4 - 1 + 1


def test_a_stream_takes_any_number_of_samples_and_channels() -> None:
    samples = sound(4000)
    stereo = np.stack([samples, samples], axis=1)
    expected = detector().predict(samples)

    for pieces in (
        cut(stereo, [1000]),
        cut(stereo, [1, 199]),
        [stereo[:0], stereo],
        [samples.tolist()],
    ):
        stream = detector().stream()
        reports = [report for piece in pieces for report in stream.push(piece)] + stream.finish()
        assert events_of(reports) == expected


def test_without_samples_nothing_is_reported() -> None:
    stream = detector().stream(44100)

    assert stream.push([]) == []
    assert stream.finish() == []


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(10, np.int16), "divide 16-bit integers"),
        (np.array([0.0, np.inf]), "not finite"),
        (np.zeros((2, 2, 2)), "shape"),
    ],
)
def test_samples_that_are_no_waveform_are_refused_and_leave_the_stream_alone(
    samples: NDArray[Any], message: str
) -> None:
    stream = detector().stream()
    with pytest.raises(DataError, match=message):
        stream.push(samples)

    audio = sound(10_000)
    assert events_of([*stream.push(audio), *stream.finish()]) == detector().predict(audio)


def test_a_model_in_training_mode_is_left_in_it() -> None:
    made = detector()
    made.model.train()
    expected = detector().probabilities(sound(9000))

    np.testing.assert_array_equal(made.probabilities(sound(9000)), expected)
    assert made.model.training


def test_logits_of_long_sequences_are_those_of_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    made = detector()
    log_mel = 20 * torch.randn(2, 300, 10, generator=torch.Generator().manual_seed(3)) - 50
    lengths = torch.tensor([300, 170])
    expected, padded = made.logits(log_mel), made.logits(log_mel, lengths)

    monkeypatch.setattr(sed_cli.tasks.detection.detector, "_LONG_FRAMES", 100)

    torch.testing.assert_close(made.logits(log_mel), expected, rtol=0, atol=1e-5)
    ours = made.logits(log_mel, lengths)
    assert ours.shape == (2, 300, 3)
    torch.testing.assert_close(ours[1, :170], padded[1, :170], rtol=0, atol=1e-5)
