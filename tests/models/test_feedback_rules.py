"""Feedback rules with memory: their output, and agreement of all back ends and streams."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.feedbacks import repeatable
from sed_cli.models.feedbacks.delayed import Delayed
from sed_cli.models.feedbacks.last_event import LastEvent
from sed_cli.models.feedbacks.sampled import Sampled
from sed_cli.models.feedbacks.trace import Trace
from sed_cli.models.recurrence import RecurrentState, feedback_gru_with_state, plain_gru
from tests.models.making import make_crnn
from tests.models.test_recurrence import CPU_BACKENDS, EXACT, World, make_world

RULES = [
    Delayed(frames=2),
    Delayed(frames=5),
    Trace(),
    Trace(factor=0.6),
    LastEvent(decay_frames=4.0),
    LastEvent(decay_frames=30.0, running=False),
]
N_STEPS = 24


def world_of(rule: FeedbackRule, n_fed: int = 4, **sizes: int) -> World:
    """A small recurrence whose cell takes the output of the rule."""
    made = make_world(n_steps=sizes.pop("n_steps", N_STEPS), **sizes)
    n_inputs = made.features.shape[2] + rule.width * n_fed
    cell = nn.GRUCell(n_inputs, made.cell.hidden_size, dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(parameter.shape[0]))
    return replace(made, cell=cell)


def masks(n_sequences: int = 3, n_steps: int = N_STEPS) -> list[Tensor | None]:
    drawn = torch.rand(n_sequences, n_steps, generator=torch.Generator().manual_seed(1)) < 0.5
    of_class = torch.rand(n_sequences, n_steps, 4, generator=torch.Generator().manual_seed(2)) < 0.5
    return [None, drawn, of_class, torch.ones_like(drawn)]


def fed_by_hand(rule: FeedbackRule, chosen: Tensor) -> Tensor:
    """Feedback of each step, (B, T, D), computed from all activities (B, T, C) at once."""
    n_sequences, n_steps, n_classes = chosen.shape
    fed = torch.zeros(n_sequences, n_steps, rule.width * n_classes, dtype=chosen.dtype)
    for b in range(n_sequences):
        for t in range(n_steps):
            past = chosen[b, :t]
            if isinstance(rule, Delayed):
                if t >= rule.frames:
                    fed[b, t] = past[t - rule.frames]
            elif isinstance(rule, Trace):
                ages = torch.arange(t - 1, -1, -1, dtype=chosen.dtype)[:, None]
                if t:
                    fed[b, t] = (past * rule.factor**ages).amax(0)
            elif isinstance(rule, LastEvent):
                fed[b, t] = _last_event_by_hand(rule, past)
    return fed


def _last_event_by_hand(rule: LastEvent, past: Tensor) -> Tensor:
    """Look back for the last frame in which an event ended; t is the number of frames since."""
    n_classes = past.shape[1]
    last, since = torch.zeros(2, n_classes, dtype=past.dtype)
    active = past[-1] if len(past) else torch.zeros(n_classes, dtype=past.dtype)
    for step in range(len(past) - 1, 0, -1):
        over = (past[step - 1] == 1) & (past[step] == 0)
        if over.any():
            last = over.to(past.dtype)
            since = last * math.exp(-(len(past) - 1 - step) / rule.decay_frames)
            break
    return torch.cat([last, since, active] if rule.running else [last, since])


def expected(world: World, rule: FeedbackRule, chosen: Tensor) -> Tensor:
    """Logits of torch's GRU with all inputs known."""
    inputs = torch.cat([world.features, fed_by_hand(rule, chosen)], dim=2)
    return plain_gru(inputs, world.cell, world.readout)[0]


@pytest.fixture(params=CPU_BACKENDS)
def backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "compiled":
        pytest.importorskip("numba")
    return request.param


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_what_is_fed_is_made_of_the_targets_or_of_the_models_own_activities(
    rule: FeedbackRule, backend: Any
) -> None:
    """Teacher-forced, free-running and mixed: a GRU with the same inputs gives the same."""
    world = world_of(rule)
    for mask in masks():
        logits = world.run(mask, backend, feedback=rule)
        own = (logits.detach() > 0).double()
        if mask is None:
            chosen = own
        else:
            chosen = torch.where(mask if mask.ndim == 3 else mask[:, :, None], world.targets, own)
        torch.testing.assert_close(logits, expected(world, rule, chosen), **EXACT)
        assert fed_by_hand(rule, chosen).std() > 0.05  # so that the comparison is meaningful


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_chunks_equal_the_whole(rule: FeedbackRule, backend: Any) -> None:
    world = world_of(rule)
    for mask in masks():
        whole = world.run(mask, backend, feedback=rule)
        state: RecurrentState | None = None
        chunks = []
        for part in (slice(0, 1), slice(1, 12), slice(12, 12), slice(12, N_STEPS)):
            logits, state = feedback_gru_with_state(
                world.features[:, part],
                world.targets[:, part],
                None if mask is None else mask[:, part],
                world.cell,
                world.readout,
                backend,
                feedback=rule,
                initial_state=state,
            )
            chunks.append(logits)
        torch.testing.assert_close(torch.cat(chunks, dim=1), whole, **EXACT)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_logits_do_not_depend_on_later_targets(rule: FeedbackRule, backend: Any) -> None:
    world = world_of(rule)
    other = replace(world, targets=world.targets.clone())
    other.targets[:, 10:] = 1 - other.targets[:, 10:]
    before, after = (
        each.run(torch.ones(3, N_STEPS, dtype=torch.bool), backend, feedback=rule)
        for each in (world, other)
    )
    assert torch.equal(before[:, :11], after[:, :11])  # targets of step t are fed back at t + 1
    assert not torch.equal(before[:, 11:], after[:, 11:])


@settings(deadline=None, max_examples=25)
@given(
    rule=st.sampled_from(RULES),
    n_sequences=st.integers(0, 4),
    n_steps=st.integers(0, 9),
    n_features=st.integers(1, 5),
    n_hidden=st.integers(1, 9),
    part=st.sampled_from([(0, 4), (0, 2), (2, 4), (1, 2)]),
    seed=st.integers(0, 2**20),
)
@pytest.mark.parametrize("name", ["torch", "compiled"])
def test_values_and_gradients_equal_the_definition(
    name: Any,
    rule: FeedbackRule,
    n_sequences: int,
    n_steps: int,
    n_features: int,
    n_hidden: int,
    part: tuple[int, int],
    seed: int,
) -> None:
    if name == "compiled":
        pytest.importorskip("numba")
    sizes = {"n_sequences": n_sequences, "n_features": n_features, "n_hidden": n_hidden}
    world = world_of(rule, part[1] - part[0], n_steps=n_steps, seed=seed, **sizes)
    mask = masks(n_sequences, n_steps)[2]
    leaves = [world.features.requires_grad_(), *world.cell.parameters()]
    results = []
    for each in (name, "plain"):
        logits = world.run(mask, each, feedback=rule, fed_outputs=slice(*part))
        grads = torch.autograd.grad(logits.square().sum(), leaves, allow_unused=True)
        filled = [
            (torch.zeros_like(leaf) if grad is None else grad).flatten()
            for leaf, grad in zip(leaves, grads, strict=True)
        ]
        results.append((logits, torch.cat(filled)))
    torch.testing.assert_close(*results, **EXACT)


@pytest.mark.parametrize("feedback", ["hard", "soft", "sampled"])
def test_feeding_some_outputs_is_feeding_all_with_no_weight_for_the_others(
    feedback: str, backend: Any
) -> None:
    all_fed = make_world()
    with torch.no_grad():
        all_fed.cell.weight_ih[:, [5, 6, 8]] = 0  # of outputs 0, 1 and 3
    some = nn.GRUCell(5 + 1, 6, dtype=torch.float64)
    some.load_state_dict(
        {**all_fed.cell.state_dict(), "weight_ih": all_fed.cell.weight_ih[:, [0, 1, 2, 3, 4, 7]]}
    )
    for mask in (each if each is None else each[:, :9] for each in masks()):
        got = replace(all_fed, cell=some).run(
            mask, backend, feedback=feedback, fed_outputs=slice(2, 3)
        )
        torch.testing.assert_close(got, all_fed.run(mask, backend, feedback=feedback), **EXACT)


def test_no_output_to_feed_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"fed_outputs=slice\(3, 3, None\): expected consecutive ones of"
    ):
        make_world().run(None, fed_outputs=slice(3, 3))


def test_compiled_scans_do_not_take_what_derives_from_our_rules_for_them() -> None:
    class Slower(Trace):
        def fed(self, chosen: Tensor, before: Tensor) -> Tensor:
            return 0.5 * super().fed(chosen, before)

    world = world_of(Slower())
    torch.testing.assert_close(
        world.run(None, "auto", feedback=Slower()),
        world.run(None, "plain", feedback=Slower()),
        **EXACT,
    )
    with pytest.raises(ValueError, match="Slower is a rule of the caller's own"):
        world.run(None, "compiled", feedback=Slower())


def test_a_model_takes_a_rule_that_feeds_more_than_its_outputs() -> None:
    model = make_crnn(n_mels=8, n_classes=3, pooling=[8], onsets=True, fed_outputs="onsets")
    assert model.cell.input_size == model.n_features + 3
    model.take_feedback(LastEvent())
    assert model.cell.input_size == model.n_features + 9
    logits = model(torch.zeros(2, 5, 8), feedback=LastEvent())
    assert logits.shape == (2, 5, 6)
    with pytest.raises(ValueError, match="6 fed activities make"):
        model(torch.zeros(2, 5, 8), feedback=LastEvent(running=False))


def test_only_a_rule_that_draws_is_replaced_where_outputs_have_to_repeat() -> None:
    assert repeatable(Sampled()).name == "hard"
    assert repeatable(Delayed(frames=3)) == Delayed(frames=3)
