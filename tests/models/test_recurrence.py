"""Properties of the feedback recurrence, for every back end that runs on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sed_cli.models import recurrence
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.recurrence import (
    Feedback,
    RecurrentState,
    feedback_gru,
    feedback_gru_with_state,
    plain_gru,
)
from tests.models.making import RULES_WITHOUT_MEMORY

FEEDBACKS = RULES_WITHOUT_MEMORY

# Float64 throughout: back ends sum in different orders, and a threshold amplifies the last digit of
# a logit into a different sequence. At 1e-16 no logit drawn here comes near enough to 0.
EXACT: dict[str, float] = {"rtol": 1e-9, "atol": 1e-11}

CPU_BACKENDS = ["auto", "plain", "torch", "compiled"]


@dataclass
class World:
    """A small recurrence with weights large enough that the feedback matters."""

    features: Tensor
    targets: Tensor
    noise: Tensor
    cell: nn.GRUCell
    readout: nn.Linear

    def run(self, mask: Tensor | None, backend: Any = "auto", **options: Any) -> Tensor:
        options.setdefault("noise", self.noise)
        return feedback_gru(
            self.features, self.targets, mask, self.cell, self.readout, backend, **options
        )

    def sample(self, index: int) -> World:
        one = slice(index, index + 1)
        return replace(
            self,
            features=self.features[one],
            targets=self.targets[one],
            noise=self.noise[one],
        )


def make_world(
    n_sequences: int = 3,
    n_steps: int = 9,
    n_features: int = 5,
    n_classes: int = 4,
    n_hidden: int = 6,
    seed: int = 0,
) -> World:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    cell = nn.GRUCell(n_features + n_classes, n_hidden, dtype=torch.float64)
    readout = nn.Linear(n_hidden, n_classes, dtype=torch.float64)
    with torch.no_grad():
        for parameter in [*cell.parameters(), *readout.parameters()]:
            parameter.copy_(normal(*parameter.shape))
    return World(
        features=normal(n_sequences, n_steps, n_features),
        targets=(uniform(n_sequences, n_steps, n_classes) > 0.5).double(),
        noise=uniform(n_sequences, n_steps, n_classes),
        cell=cell,
        readout=readout,
    )


def coins(n_sequences: int, n_steps: int, *more: int, seed: int = 1) -> Tensor:
    return torch.rand(n_sequences, n_steps, *more, generator=_seeded(seed)) < 0.5


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(world: World, feedback: Feedback, initial: RecurrentState | None = None) -> Tensor:
    """Free running with the GRU's equations written out, one sample at a time."""
    w_ih, w_hh = world.cell.weight_ih, world.cell.weight_hh
    b_ih, b_hh = world.cell.bias_ih, world.cell.bias_hh
    n_hidden, n_classes = world.cell.hidden_size, world.readout.out_features
    rows = []
    for i in range(world.features.shape[0]):
        hidden = torch.zeros(n_hidden).double() if initial is None else initial.hidden[i]
        fed = torch.zeros(n_classes).double() if initial is None else initial.feedback[i]
        row = []
        for t in range(world.features.shape[1]):
            gi = w_ih @ torch.cat([world.features[i, t], fed]) + b_ih
            gh = w_hh @ hidden + b_hh
            r, z = torch.sigmoid(gi + gh)[: 2 * n_hidden].chunk(2)
            n = torch.tanh(gi[2 * n_hidden :] + r * gh[2 * n_hidden :])
            hidden = (1 - z) * n + z * hidden
            logits = world.readout.weight @ hidden + world.readout.bias
            probability = torch.sigmoid(logits).detach()
            fed = {
                "hard": (probability > 0.5).double(),
                "sampled": (world.noise[i, t] < probability).double(),
                "soft": probability,
            }[feedback]
            row.append(logits)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def gradients(loss: Tensor, world: World) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [*world.cell.parameters(), *world.readout.parameters()]))


@pytest.fixture(params=CPU_BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "compiled":
        pytest.importorskip("numba")
    return request.param


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_free_running_equals_feeding_its_own_outputs_by_hand(
    backend: Any, feedback: Feedback
) -> None:
    world = make_world()
    logits = world.run(None, backend, feedback=feedback)
    torch.testing.assert_close(logits, by_hand(world, feedback), **EXACT)
    # the feedback matters here, so that the comparison is meaningful
    assert not torch.allclose(logits, world.run(torch.ones(3, 9, dtype=torch.bool), backend))


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_no_gradient_flows_through_the_models_own_output(backend: Any, feedback: Feedback) -> None:
    world = make_world()
    got = gradients(world.run(None, backend, feedback=feedback).square().sum(), world)
    want = gradients(by_hand(world, feedback).square().sum(), world)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_a_false_mask_and_no_mask_are_free_running(backend: Any) -> None:
    world = make_world()
    free = world.run(None, backend)
    torch.testing.assert_close(world.run(torch.zeros(3, 9, dtype=torch.bool), backend), free)
    without = feedback_gru(world.features, None, None, world.cell, world.readout, backend)
    torch.testing.assert_close(without, free)


def test_all_teacher_equals_a_plain_gru_over_shifted_targets(backend: Any) -> None:
    world = make_world()
    shifted = torch.cat([torch.zeros(3, 1, 4).double(), world.targets[:, :-1]], dim=1)
    gru = nn.GRU(9, 6, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in gru.named_parameters():
            parameter.copy_(getattr(world.cell, name.removesuffix("_l0")))
    want = world.readout(gru(torch.cat([world.features, shifted], dim=2))[0])
    logits = world.run(torch.ones(3, 9, dtype=torch.bool), backend)
    torch.testing.assert_close(logits, want, **EXACT)


@pytest.mark.parametrize("per_class", [False, True])
def test_logits_ignore_future_targets_by_gradient(backend: Any, per_class: bool) -> None:
    world = make_world()
    world.targets.requires_grad_()
    mask = torch.ones(3, 9, 4, dtype=torch.bool) if per_class else coins(3, 9)
    mask[:, 3] = True
    logits = world.run(mask, backend)
    for step in range(9):
        (grad,) = torch.autograd.grad(logits[:, step].sum(), world.targets, retain_graph=True)
        assert torch.count_nonzero(grad[:, step:]) == 0
        if step == 4:  # the target of the previous step reaches it
            assert torch.count_nonzero(grad[:, 3]) > 0


def test_logits_ignore_future_targets_by_perturbation(backend: Any) -> None:
    world = make_world()
    mask = coins(3, 9)
    mask[:, 4] = True
    before = world.run(mask, backend)
    world.targets[:, 4:] = 1 - world.targets[:, 4:]
    after = world.run(mask, backend)
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=0, atol=0)
    assert not torch.allclose(after[:, 5], before[:, 5])


def test_a_class_mask_feeds_the_ground_truth_of_those_classes_only(backend: Any) -> None:
    world = make_world()
    mask = torch.zeros(3, 9, 4, dtype=torch.bool)
    mask[:, :, 1] = True
    before = world.run(mask, backend)
    world.targets[:, :, [0, 2, 3]] = 1 - world.targets[:, :, [0, 2, 3]]
    torch.testing.assert_close(world.run(mask, backend), before, rtol=0, atol=0)
    world.targets[:, :, 1] = 1 - world.targets[:, :, 1]
    assert not torch.allclose(world.run(mask, backend), before)


def test_a_class_mask_with_equal_columns_is_the_mask_per_step(backend: Any) -> None:
    world = make_world()
    mask = coins(3, 9)
    torch.testing.assert_close(
        world.run(mask[:, :, None].repeat(1, 1, 4), backend), world.run(mask, backend)
    )


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_a_batch_equals_stacked_singles(backend: Any, feedback: Feedback) -> None:
    world, mask = make_world(n_sequences=4), coins(4, 9)
    batch = world.run(mask, backend, feedback=feedback)
    singles = [world.sample(i).run(mask[i : i + 1], backend, feedback=feedback) for i in range(4)]
    torch.testing.assert_close(batch, torch.cat(singles), **EXACT)


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("mask", [None, coins(3, 9), torch.ones(3, 9, dtype=torch.bool)])
def test_streaming_in_chunks_equals_the_whole(
    backend: Any, feedback: Feedback, mask: Tensor | None
) -> None:
    world = make_world()
    whole = world.run(mask, backend, feedback=feedback)
    state, chunks = None, []
    for part in (slice(0, 4), slice(4, 4), slice(4, 5), slice(5, 9)):
        logits, state = feedback_gru_with_state(
            world.features[:, part],
            world.targets[:, part],
            None if mask is None else mask[:, part],
            world.cell,
            world.readout,
            backend,
            feedback=feedback,
            noise=world.noise[:, part],
            initial_state=state,
        )
        chunks.append(logits)
        assert not state.feedback.requires_grad
    torch.testing.assert_close(torch.cat(chunks, dim=1), whole, **EXACT)


def test_the_initial_state_is_used_and_receives_its_gradient(backend: Any) -> None:
    world = make_world()
    hidden = torch.randn(3, 6, generator=_seeded(5)).double().requires_grad_()
    state = RecurrentState(hidden, torch.rand(3, 4, generator=_seeded(6)).double())
    got = world.run(None, backend, initial_state=state)
    want = by_hand(world, "hard", state)
    torch.testing.assert_close(got, want, **EXACT)
    (a,) = torch.autograd.grad(got.square().sum(), hidden)
    (b,) = torch.autograd.grad(want.square().sum(), hidden)
    torch.testing.assert_close(a, b, **EXACT)


def test_the_final_hidden_state_carries_gradients(backend: Any) -> None:
    world = make_world()
    mask = coins(3, 9)
    results = []
    for name in (backend, "plain"):
        logits, state = feedback_gru_with_state(
            world.features, world.targets, mask, world.cell, world.readout, name
        )
        results.append(gradients(state.hidden.square().sum() + logits.sum(), world))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_gradcheck_in_float64(backend: Any) -> None:
    world = make_world(n_sequences=2, n_steps=4, n_features=2, n_classes=2, n_hidden=3)
    mask = coins(2, 4, 2)
    hidden = torch.randn(2, 3, generator=_seeded(5)).double()

    def run(features: Tensor, targets: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:
        cell, readout = nn.GRUCell(4, 3), nn.Linear(3, 2)
        for module, name, weight in zip(
            [cell] * 4 + [readout] * 2,
            ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight", "bias"],
            weights,
            strict=True,
        ):
            del module._parameters[name]
            setattr(module, name, weight)
        state = RecurrentState(hidden, torch.zeros(2, 2).double())
        return feedback_gru(features, targets, mask, cell, readout, backend, initial_state=state)

    weights = [*world.cell.parameters(), *world.readout.parameters()]
    inputs = [
        tensor.detach().clone().requires_grad_()
        for tensor in (world.features, world.targets, hidden, *weights)
    ]
    assert torch.autograd.gradcheck(run, inputs)


@settings(deadline=None, max_examples=25)
@given(
    n_sequences=st.integers(0, 5),
    n_steps=st.integers(0, 7),
    n_features=st.integers(1, 9),
    n_classes=st.integers(1, 5),
    n_hidden=st.integers(1, 17),
    feedback=st.sampled_from(FEEDBACKS),
    coin=st.sampled_from(["none", "step", "class", "all"]),
    bias=st.booleans(),
    seed=st.integers(0, 2**20),
)
@pytest.mark.parametrize("name", CPU_BACKENDS)
def test_odd_sizes_agree_with_the_definition_in_values_and_gradients(
    name: Any,
    n_sequences: int,
    n_steps: int,
    n_features: int,
    n_classes: int,
    n_hidden: int,
    feedback: Feedback,
    coin: str,
    bias: bool,
    seed: int,
) -> None:
    world = make_world(n_sequences, n_steps, n_features, n_classes, n_hidden, seed)
    if not bias:
        world.cell = nn.GRUCell(n_features + n_classes, n_hidden, bias=False, dtype=torch.float64)
        world.readout = nn.Linear(n_hidden, n_classes, bias=False, dtype=torch.float64)
    mask = {
        "none": None,
        "step": coins(n_sequences, n_steps, seed=seed),
        "class": coins(n_sequences, n_steps, n_classes, seed=seed),
        "all": torch.ones(n_sequences, n_steps, dtype=torch.bool),
    }[coin]
    world.features.requires_grad_()
    results = []
    for each in (name, "plain"):
        logits = world.run(mask, each, feedback=feedback)
        assert logits.shape == (n_sequences, n_steps, n_classes)
        results.append(logits)
        leaves = [world.features, *world.cell.parameters(), *world.readout.parameters()]
        grads = torch.autograd.grad(logits.square().sum(), leaves, allow_unused=True)
        results.append(
            torch.cat(
                [
                    (torch.zeros_like(leaf) if grad is None else grad).flatten()
                    for leaf, grad in zip(leaves, grads, strict=True)
                ]
            )
        )
    torch.testing.assert_close(results[0], results[2], **EXACT)
    torch.testing.assert_close(results[1], results[3], **EXACT)


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_nan_features_surface_in_every_later_logit(backend: Any, feedback: Feedback) -> None:
    world = make_world()
    world.features[1, 4, 2] = float("nan")
    logits = world.run(coins(3, 9), backend, feedback=feedback)
    assert torch.isnan(logits[1, 4:]).all()
    assert torch.isfinite(logits[1, :4]).all()
    assert torch.isfinite(logits[[0, 2]]).all()


def test_weights_decide_the_dtype_under_autocast(backend: Any) -> None:
    world = make_world()
    cell, readout = world.cell.float(), world.readout.float()
    arguments = (world.features.bfloat16(), world.targets.bfloat16(), coins(3, 9), cell, readout)
    outside = feedback_gru(*arguments, backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = feedback_gru(*arguments, backend)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, outside, rtol=0, atol=0)


def test_plain_gru_equals_the_librarys_module_and_streams() -> None:
    cell = nn.GRUCell(5, 6, dtype=torch.float64)
    world = make_world()
    gru = nn.GRU(5, 6, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in gru.named_parameters():
            parameter.copy_(getattr(cell, name.removesuffix("_l0")))
    whole, _ = plain_gru(world.features, cell, world.readout)
    torch.testing.assert_close(whole, world.readout(gru(world.features)[0]), **EXACT)
    first, hidden = plain_gru(world.features[:, :4], cell, world.readout)
    second, _ = plain_gru(world.features[:, 4:], cell, world.readout, hidden)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **EXACT)
    assert plain_gru(world.features[:0], cell, world.readout)[0].shape == (0, 9, 4)
    assert plain_gru(world.features[:, :0], cell, world.readout)[0].shape == (3, 0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(3, 9)}, r"features has shape \(3, 9\)"),
        ({"features": torch.zeros(3, 9, 7)}, "cell takes 9 inputs"),
        ({"targets": torch.zeros(3, 8, 4)}, r"targets has shape \(3, 8, 4\)"),
        ({"teacher_mask": torch.zeros(3, 8, dtype=torch.bool)}, "teacher_mask has shape"),
        ({"teacher_mask": torch.zeros(3, 9, 3, dtype=torch.bool)}, "teacher_mask has shape"),
        ({"teacher_mask": torch.zeros(3, 9)}, "expected torch.bool"),
        ({"targets": None}, "targets is None"),
        ({"readout": nn.Linear(7, 4)}, "readout takes 7 inputs"),
        ({"backend": "fastest"}, "backend='fastest'"),
        ({"backend": "triton"}, "expected tensors on a CUDA device, got cpu: use auto"),
        ({"feedback": "loud"}, "feedback='loud'"),
        ({"feedback": "sampled"}, "needs noise"),
        ({"feedback": "sampled", "noise": torch.zeros(3, 9)}, "noise has shape"),
        (
            {"initial_state": RecurrentState(torch.zeros(2, 6), torch.zeros(3, 4))},
            "initial_state.hidden has shape",
        ),
        (
            {"initial_state": RecurrentState(torch.zeros(3, 6), torch.zeros(3, 5))},
            "initial_state.feedback has shape",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(
    change: dict[str, Any], message: str
) -> None:
    world = make_world()
    arguments: dict[str, Any] = {
        "features": world.features,
        "targets": world.targets,
        "teacher_mask": torch.ones(3, 9, dtype=torch.bool),
        "cell": world.cell,
        "readout": world.readout,
    }
    with pytest.raises(ValueError, match=message):
        feedback_gru(**{**arguments, **change})


@pytest.mark.parametrize("backend", ["auto", "plain", "torch"])
def test_a_rule_by_the_user_is_fed_back(backend: Any) -> None:
    """One-hot of the most likely class, for example (tokens have rules without one-hots)."""

    class Argmax(FeedbackRule):
        def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
            return nn.functional.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)

    world = make_world()
    logits = world.run(None, backend, feedback=Argmax())
    onehot = nn.functional.one_hot(logits.argmax(2), 4).double()
    world.targets = onehot
    torch.testing.assert_close(
        world.run(torch.ones(3, 9, dtype=torch.bool), "plain"), logits, **EXACT
    )


def test_what_the_compiled_scan_does_not_serve_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world()

    class Own(FeedbackRule):
        def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
            return logits

    with pytest.raises(ValueError, match="Own is a rule of the caller's own: use backend='auto'"):
        world.run(None, "compiled", feedback=Own())
    monkeypatch.setattr(recurrence, "_has_numba", lambda: False)
    with pytest.raises(ValueError, match="numba is not installed"):
        world.run(None, "compiled")
    torch.testing.assert_close(world.run(None, "auto"), world.run(None, "torch"), rtol=0, atol=0)


class Fading(FeedbackRule):
    """A rule with memory, which transforms the ground truth as well."""

    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        return torch.sigmoid(logits)

    def fed(self, chosen: Tensor, before: Tensor) -> Tensor:
        return 0.5 * chosen + 0.9 * before


@pytest.mark.parametrize("backend", ["auto", "plain", "torch"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_rule_with_a_memory_is_fed_what_it_made_of_the_step_before(
    backend: Any, share: float
) -> None:
    """Its feedback, computed afterwards from the logits, is the target of another model."""
    world = make_world()
    mask = torch.rand(3, 9, generator=_seeded(2)) < share
    logits = world.run(mask, backend, feedback=Fading())
    chosen = torch.where(mask[:, :, None], world.targets, torch.sigmoid(logits))
    fed = [torch.zeros_like(chosen[:, 0])]
    for step in range(9):
        fed.append(0.5 * chosen[:, step] + 0.9 * fed[-1])
    again = replace(world, targets=torch.stack(fed[1:], dim=1).detach())
    expected = again.run(torch.ones(3, 9, dtype=torch.bool), "plain")
    torch.testing.assert_close(logits, expected, **EXACT)
    weights = [*world.cell.parameters(), *world.readout.parameters()]
    gradients = [torch.autograd.grad(each.square().sum(), weights) for each in (logits, expected)]
    for got, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted, **EXACT)


@pytest.mark.parametrize("backend", ["auto", "plain", "torch"])
def test_a_rule_with_a_memory_continues_a_stream(backend: Any) -> None:
    world = make_world()
    state, parts = None, []
    for piece in world.features.split([4, 1, 4], dim=1):
        logits, state = feedback_gru_with_state(
            piece, None, None, world.cell, world.readout, backend,
            feedback=Fading(), initial_state=state,
        )  # fmt: skip
        parts.append(logits)
    whole = world.run(None, backend, feedback=Fading())
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **EXACT)


def test_a_rule_for_activities_alone_is_refused_for_tokens() -> None:
    with pytest.raises(ValueError, match="feeds activities, not tokens"):
        feedback_gru(
            torch.zeros(1, 2, 0), None, None, nn.GRUCell(3, 4), nn.Linear(4, 5),
            table=torch.zeros(5, 3), feedback=Fading(),
        )  # fmt: skip
