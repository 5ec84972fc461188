"""Token feedback: every back end against a loop written out, and the limits."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.feedbacks import rule_named
from sed_cli.models.recurrence import (
    Feedback,
    RecurrentState,
    feedback_gru_with_state,
    fused,
    known_inputs,
)
from tests.models.making import RULES_WITHOUT_MEMORY

FEEDBACKS = RULES_WITHOUT_MEMORY

# As for activities: float32 sums in another order differ by about 5e-7 of their norm.
SINGLE_PRECISION = 1e-6
EXACT: dict[str, float] = {"rtol": 1e-9, "atol": 1e-11}

SCANS = ["compiled", "torch"]
WAYS = ["plain", "auto", *SCANS]


@pytest.fixture(params=WAYS)
def backend(request: pytest.FixtureRequest) -> Any:
    return needed(request.param)


@pytest.fixture(params=SCANS)
def scan(request: pytest.FixtureRequest) -> Any:
    return needed(request.param)


def needed(way: str) -> Any:
    if way == "compiled":
        pytest.importorskip("numba")
    return way


class Case:
    """Seeded arguments of one run, with leaves that accumulate gradients."""

    def __init__(
        self,
        n_sequences: int = 3,
        n_steps: int = 9,
        n_features: int = 2,
        n_hidden: int = 6,
        n_tokens: int = 5,
        size: int = 4,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
    ) -> None:
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

        frames = (n_sequences, n_steps)
        self.features = normal(*frames, n_features).requires_grad_()
        self.targets = torch.randint(n_tokens, frames, generator=g)
        self.noise = torch.rand(*frames, 1, generator=g, dtype=torch.float64)
        self.mask = torch.rand(*frames, generator=g) < 0.5
        self.table = normal(n_tokens, size).requires_grad_()
        self.cell = nn.GRUCell(n_features + size, n_hidden, dtype=dtype)
        self.readout = nn.Linear(n_hidden, n_tokens, dtype=dtype)
        with torch.no_grad():
            scale = n_hidden**-0.5  # larger ones would magnify rounding from step to step
            for parameter in [*self.cell.parameters(), *self.readout.parameters()]:
                parameter.copy_(scale * normal(*parameter.shape))
        self.state = RecurrentState(
            normal(n_sequences, n_hidden).requires_grad_(), normal(n_sequences, size)
        )
        self.weight = normal(*frames, n_tokens)

    def run(self, backend: Any, mask: Any = "own", **options: Any) -> Tensor:
        return self.run_with_state(backend, mask, **options)[0]

    def run_with_state(
        self, backend: Any, mask: Any = "own", **options: Any
    ) -> tuple[Tensor, RecurrentState]:
        options = {"noise": self.noise, "initial_state": self.state, **options}
        return feedback_gru_with_state(
            self.features,
            self.targets,
            self.mask if isinstance(mask, str) else mask,
            self.cell,
            self.readout,
            backend,
            table=self.table,
            **options,
        )

    @property
    def leaves(self) -> list[Tensor]:
        weights = [*self.cell.parameters(), *self.readout.parameters()]
        return [self.features, self.table, self.state.hidden, *weights]

    def values(self, backend: Any, mask: Any = "own", **options: Any) -> list[Tensor]:
        logits, last = self.run_with_state(backend, mask, **options)
        loss = (logits * self.weight).sum() + last.hidden.square().sum()
        grads = torch.autograd.grad(loss, self.leaves, allow_unused=True)
        pairs = zip(self.leaves, grads, strict=True)
        filled = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in pairs]
        return [logits.detach(), last.hidden.detach(), last.feedback, *filled]


def by_hand(case: Case, feedback: Feedback, mask: Tensor | None) -> Tensor:
    """The GRU's equations and each method of choice written out, one sequence at a time."""
    w_ih, w_hh = case.cell.weight_ih, case.cell.weight_hh
    b_ih, b_hh = case.cell.bias_ih, case.cell.bias_hh
    n_hidden = case.cell.hidden_size
    rows = []
    for i in range(len(case.features)):
        hidden, fed = case.state.hidden[i], case.state.feedback[i]
        row = []
        for t in range(case.features.shape[1]):
            gi = w_ih @ torch.cat([case.features[i, t], fed]) + b_ih
            gh = w_hh @ hidden + b_hh
            r, z = torch.sigmoid(gi + gh)[: 2 * n_hidden].chunk(2)
            n = torch.tanh(gi[2 * n_hidden :] + r * gh[2 * n_hidden :])
            hidden = (1 - z) * n + z * hidden
            logits = case.readout.weight @ hidden + case.readout.bias
            row.append(logits)
            values = logits.detach()
            probabilities = values.exp() / values.exp().sum()
            if mask is not None and mask[i, t]:
                fed = case.table[case.targets[i, t]]
            elif feedback == "hard":
                fed = case.table[max(range(len(logits)), key=values.__getitem__)]
            elif feedback == "sampled":
                left, token = float(case.noise[i, t]), 0
                while left >= probabilities[token]:
                    left -= float(probabilities[token])
                    token += 1
                fed = case.table[token]
            else:
                fed = sum(p * case.table[c] for c, p in enumerate(probabilities))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def assert_near(got: list[Tensor], want: list[Tensor]) -> None:
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("coins", ["none", "some", "all"])
def test_tokens_and_gradients_are_those_of_the_equations(
    backend: Any, feedback: Feedback, coins: str
) -> None:
    case = Case()
    mask = {"none": None, "some": case.mask, "all": torch.ones_like(case.mask)}[coins]
    got = case.run(backend, mask, feedback=feedback)
    want = by_hand(case, feedback, mask)
    torch.testing.assert_close(got, want, **EXACT)
    grads = [torch.autograd.grad((x * case.weight).sum(), case.leaves) for x in (got, want)]
    assert_near(list(grads[0]), list(grads[1]))
    assert torch.count_nonzero(grads[0][1]) > 0  # the table's: a comparison of zeros is meaningless


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize(
    ("n_sequences", "n_features", "n_hidden", "n_tokens"),
    [(16, 0, 48, 30), (7, 5, 33, 9), (1, 0, 130, 100)],  # the last: too many tokens to prepare
)
def test_float32_agrees_with_the_definition(
    scan: Any,
    feedback: Feedback,
    n_sequences: int,
    n_features: int,
    n_hidden: int,
    n_tokens: int,
) -> None:
    case = Case(n_sequences, 40, n_features, n_hidden, n_tokens, 16, torch.float32, seed=1)
    pairs = zip(
        case.values(scan, feedback=feedback),
        case.values("plain", feedback=feedback),
        strict=True,
    )
    for got, want in pairs:
        # Decisions within rounding of each other would show as errors of 1e-2: there are none here.
        assert float((got - want).norm()) <= SINGLE_PRECISION * float(want.norm())


@settings(deadline=None, max_examples=15)
@given(
    n_sequences=st.integers(0, 5),
    n_steps=st.integers(0, 7),
    n_features=st.integers(0, 3),
    n_hidden=st.integers(1, 17),
    n_tokens=st.integers(1, 40),
    size=st.integers(1, 9),
    feedback=st.sampled_from(FEEDBACKS),
    coins=st.sampled_from(["none", "some", "all"]),
    bias=st.booleans(),
    seed=st.integers(0, 2**20),
)
@pytest.mark.parametrize("way", [*SCANS, "auto"])
def test_odd_sizes_agree_with_the_definition(
    way: str,
    n_sequences: int,
    n_steps: int,
    n_features: int,
    n_hidden: int,
    n_tokens: int,
    size: int,
    feedback: Feedback,
    coins: str,
    bias: bool,
    seed: int,
) -> None:
    case = Case(n_sequences, n_steps, n_features, n_hidden, n_tokens, size, seed=seed)
    if not bias:
        case.cell = nn.GRUCell(n_features + size, n_hidden, bias=False, dtype=torch.float64)
        case.readout = nn.Linear(n_hidden, n_tokens, bias=False, dtype=torch.float64)
    mask = {"none": None, "some": case.mask, "all": torch.ones_like(case.mask)}[coins]
    got = case.values(needed(way), mask, feedback=feedback)
    assert got[0].shape == (n_sequences, n_steps, n_tokens)
    assert_near(got, case.values("plain", mask, feedback=feedback))


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_streaming_in_chunks_equals_the_whole(backend: Any, feedback: Feedback) -> None:
    case = Case()
    for mask in (None, case.mask, torch.ones_like(case.mask)):
        whole, last = case.run_with_state(backend, mask, feedback=feedback)
        state, chunks = case.state, []
        for part in (slice(0, 4), slice(4, 4), slice(4, 5), slice(5, 9)):
            logits, state = feedback_gru_with_state(
                case.features[:, part],
                case.targets[:, part],
                None if mask is None else mask[:, part],
                case.cell,
                case.readout,
                backend,
                table=case.table,
                feedback=feedback,
                noise=case.noise[:, part],
                initial_state=state,
            )
            chunks.append(logits)
            assert not state.feedback.requires_grad
        assert_near([torch.cat(chunks, dim=1), *state], [whole, *last])


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_blocks_of_steps_change_neither_values_nor_gradients(
    scan: Any, feedback: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(n_steps=47)
    whole = case.values(scan, case.mask, feedback=feedback)
    monkeypatch.setattr(fused, "BLOCK_NUMBERS", 1)
    for got, want in zip(case.values(scan, case.mask, feedback=feedback), whole, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_inference_equals_training_across_its_blocks(
    scan: Any, feedback: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "BLOCK_NUMBERS", 1)
    case = Case(n_steps=47)
    kept = case.run(scan, feedback=feedback)
    with torch.no_grad():
        free = case.run(scan, feedback=feedback)
    torch.testing.assert_close(free, kept.detach(), rtol=1e-12, atol=1e-12)


class _Given(FeedbackRule):
    """Feeds back the tokens that are passed in place of the noise."""

    draws: ClassVar[bool] = True

    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        raise AssertionError("tokens are asked for, never activities")

    def tokens(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        assert noise is not None
        return noise[:, 0].long()


@pytest.mark.parametrize("feedback", ["fixed", "soft"])
def test_gradcheck_in_float64(backend: Any, feedback: str) -> None:
    """With fixed choices: no gradient passes through them, but numerical gradients would."""
    if (feedback, backend) == ("fixed", "compiled"):
        pytest.skip("takes no rules of one's own")
    case = Case(2, 4, 1, 3, 3, 2)
    chosen = torch.randint(3, (4, 2), generator=torch.Generator().manual_seed(2))
    # Full teacher forcing for a soft rule: its probabilities would change with the weights.
    mask = case.mask if feedback == "fixed" else torch.ones_like(case.mask)
    rule: Any = _Given() if feedback == "fixed" else "soft"

    def run(features: Tensor, table: Tensor, hidden: Tensor, *weights: Tensor) -> Any:
        cell, readout = nn.GRUCell(3, 3), nn.Linear(3, 3)
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight", "bias"]
        for module, name, weight in zip([cell] * 4 + [readout] * 2, names, weights, strict=True):
            delattr(module, name)
            setattr(module, name, weight)
        state = RecurrentState(hidden, case.state.feedback)
        logits, last = feedback_gru_with_state(
            features,
            case.targets,
            mask,
            cell,
            readout,
            backend,
            table=table,
            feedback=rule,
            noise=chosen.t()[:, :, None].double(),
            initial_state=state,
        )
        return logits, last.hidden

    assert torch.autograd.gradcheck(run, [x.detach().requires_grad_() for x in case.leaves])


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_nan_surfaces_and_nothing_hangs(backend: Any, feedback: Feedback) -> None:
    case = Case()
    with torch.no_grad():
        case.features[1, 4, 0] = float("nan")
    logits = case.run(backend, None, feedback=feedback)
    assert torch.isnan(logits[1, 4:]).all()
    assert torch.isfinite(logits[[0, 2]]).all()
    with torch.no_grad():
        case.readout.bias[2] = float("nan")  # of one token only: the state stays finite at first
    assert torch.isnan(case.run(backend, None, feedback=feedback)[:, :, 2]).all()


def test_the_choice_among_nan_and_infinity_is_a_token() -> None:
    rows = [[float("nan")] * 3, [1.0, float("nan"), 5.0], [1.0, float("inf"), float("inf")]]
    logits = torch.tensor([*rows, [float("-inf")] * 3, [0.0, float("-inf"), float("-inf")]])
    for uniform in (0.0, 0.5, 1.0):  # 1: a double just below it, rounded to float32
        noise = torch.full((5, 1), uniform)
        for rule in (rule_named("hard"), rule_named("sampled")):
            chosen = rule.tokens(logits, noise)
            assert bool(((chosen >= 0) & (chosen < 3)).all())
        assert int(chosen[4]) == 0  # the others have no probability at all


def test_drawn_tokens_have_the_models_probabilities(backend: Any) -> None:
    """The histogram of 20,000 draws: within five standard deviations of each probability."""
    n = 20_000
    logits = torch.tensor([0.0, 2.0, -1.0, 1.0])
    cell, readout = nn.GRUCell(4, 1), nn.Linear(1, 4)
    with torch.no_grad():
        readout.weight.zero_()
        readout.bias.copy_(logits)
    noise = torch.rand(n, 1, 1, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        _, last = feedback_gru_with_state(
            torch.zeros(n, 1, 0),
            None,
            None,
            cell,
            readout,
            backend,
            table=torch.eye(4),
            feedback="sampled",
            noise=noise,
        )
    p = torch.softmax(logits, 0)
    deviation = (p * (1 - p) / n).sqrt()
    assert bool(((last.feedback.mean(0) - p).abs() < 5 * deviation).all())


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_a_large_vocabulary_agrees_too(backend: Any, feedback: Feedback) -> None:
    case = Case(2, 3, 0, 8, 20_000, 4)
    pairs = [case.values(name, feedback=feedback) for name in (backend, "plain")]
    assert_near(*pairs)


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_saved_memory_does_not_grow_with_the_vocabulary(scan: Any, feedback: Feedback) -> None:
    """5H + F + D numbers per step and the token's id; only soft feedback keeps the logits."""
    n_sequences, n_features, n_hidden, n_tokens, size = 4, 3, 32, 500, 6
    sizes = []
    for n_steps in (50, 150):
        case = Case(n_sequences, n_steps, n_features, n_hidden, n_tokens, size, dtype=torch.float32)
        seen: dict[int, int] = {}

        def note(tensor: Tensor, seen: dict[int, int] = seen) -> Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            case.run(scan, feedback=feedback)
        sizes.append(sum(seen.values()))
    per_frame = (sizes[1] - sizes[0]) / (100 * n_sequences) / 4  # an id is as long as two numbers
    logits = n_tokens if feedback == "soft" else 0
    assert per_frame == 5 * n_hidden + n_features + size + 2 + logits


def test_forced_tokens_of_a_large_vocabulary_are_read_out_after_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case(n_hidden=6, n_tokens=19)
    calls = []
    whole = known_inputs.known_inputs_gru
    monkeypatch.setattr(
        known_inputs, "known_inputs_gru", lambda *args: calls.append(1) or whole(*args)
    )
    forced = case.run("auto", torch.ones_like(case.mask))
    assert calls == [1]
    torch.testing.assert_close(forced, case.run("plain", torch.ones_like(case.mask)), **EXACT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(3, 9)}, r"features has shape \(3, 9\)"),
        ({"features": torch.zeros(3, 9, 3)}, "cell takes 6 inputs"),
        ({"table": torch.zeros(4, 4)}, "table has shape"),
        ({"targets": torch.zeros(3, 8, dtype=torch.int64)}, "targets has shape"),
        ({"targets": torch.zeros(3, 9)}, "targets has dtype torch.float32"),
        ({"targets": torch.full((3, 9), 5)}, "has ids from 5 to 5: expected 0 to 4"),
        ({"targets": torch.full((3, 9), -1)}, "has ids from -1 to -1"),
        ({"targets": None}, "targets is None"),
        ({"teacher_mask": torch.ones(3, 9, 5, dtype=torch.bool)}, "fed as a whole"),
        ({"teacher_mask": torch.ones(3, 8, dtype=torch.bool)}, "teacher_mask has shape"),
        ({"teacher_mask": torch.ones(3, 9)}, "expected torch.bool"),
        ({"readout": nn.Linear(7, 5)}, "readout takes 7 inputs"),
        ({"backend": "fastest"}, "backend='fastest'"),
        ({"feedback": "loud"}, "feedback='loud'"),
        ({"feedback": "sampled"}, "needs noise"),
        ({"feedback": "sampled", "noise": torch.zeros(3, 9, 5)}, "noise has shape"),
        (
            {"initial_state": RecurrentState(torch.zeros(3, 6), torch.zeros(3, 5))},
            r"initial_state.feedback has shape \(3, 5\): expected \(B, D\)",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(
    change: dict[str, Any], message: str
) -> None:
    case = Case()
    arguments: dict[str, Any] = {
        "features": case.features,
        "targets": case.targets,
        "teacher_mask": torch.ones_like(case.mask),
        "cell": case.cell,
        "readout": case.readout,
        "table": case.table,
    }
    with pytest.raises(ValueError, match=message):
        feedback_gru_with_state(**{**arguments, **change})
