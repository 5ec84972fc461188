"""torch's optimisers without torch's compiler: the same updates, and a faster start."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from sed_cli.training.optimizers.adam import Adam
from sed_cli.training.optimizers.adamw import AdamW
from sed_cli.training.optimizers.sgd import SGD
from sed_cli.training.uncompiled import uncompiled
from tests.conftest import Sedtf
from tests.training.resumed import check_resumed


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_updates_and_state_are_those_of_torch(kind: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 5)
    weights, states = [], []
    for each in (kind, uncompiled(kind)):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
        optimiser = each(model.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad(set_to_none=True)
            model(x).square().sum().backward()
            optimiser.step()
            assert torch.is_grad_enabled()
        again = each(model.parameters(), lr=0.5)
        again.load_state_dict(optimiser.state_dict())
        assert again.param_groups[0]["lr"] == 0.1
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        states.append(again.state_dict())
    assert torch.equal(*weights)
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.slow
def test_a_training_step_does_not_import_the_compiler() -> None:
    script = """
import sys, torch
from sed_cli.models.kinds.crnn import CRNNConfig
from sed_cli.training.uncompiled import uncompiled
model = CRNNConfig(conv_channels=2, rnn_hidden=3).build(n_mels=40, n_classes=2)
optimiser = uncompiled(torch.optim.Adam)(model.parameters(), lr=0.1)
optimiser.zero_grad()
model(torch.randn(1, 4, 40)).sum().backward()
torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
optimiser.step()
optimiser.load_state_dict(optimiser.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def weight_after(
    optimiser: torch.optim.Optimizer, weight: nn.Parameter, gradients: list[float]
) -> float:
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=weight.dtype)
        optimiser.step()
    return weight.item()


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.tensor([2.0], dtype=torch.float64))


def test_adamw_takes_the_decay_off_the_weight_and_not_through_the_moments() -> None:
    """With a decay in the gradient, Adam would divide it by its own root: always lr."""
    adam, adamw = parameter(), parameter()
    plain = weight_after(Adam().build([adam], 0.1), adam, [1.0])
    decayed = weight_after(AdamW(weight_decay=0.5).build([adamw], 0.1), adamw, [1.0])
    assert plain - decayed == pytest.approx(0.1 * 0.5 * 2.0)


def test_steps_of_sgd_are_those_worked_out_by_hand() -> None:
    weight = parameter()
    config = SGD(momentum=0.5, weight_decay=0.25)
    # gradient 1 + 0.25 * 2 = 1.5: 2 - 0.15 = 1.85; then 1 + 0.4625 + 0.5 * 1.5: - 0.22125
    got = weight_after(config.build([weight], 0.1), weight, [1.0, 1.0])
    assert got == pytest.approx(1.62875)
    weight = parameter()
    # Nesterov: 1 + 0.5 * 1 = 1.5
    stepped = weight_after(SGD(momentum=0.5, nesterov=True).build([weight], 0.1), weight, [1.0])
    assert stepped == pytest.approx(1.85)


def test_senseless_settings_are_refused(sedtf: Sedtf, capfd: pytest.CaptureFixture[str]) -> None:
    for words, expected in (
        (["sgd", "momentum=0", "nesterov=true"], "give a momentum above 0"),
        (["adamw", "weight_decay=-1"], "weight_decay=-1.0: expected at least 0"),
    ):
        name, *own = words
        settings = [f"trainer.optimizer={name}", *(f"trainer.optimizer.{each}" for each in own)]
        assert sedtf("train", *settings, "output_dir=run") == 2
        assert expected in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_resumed_training_is_that_of_one_go(optimiser: str, sedtf: Sedtf) -> None:
    check_resumed(sedtf, f"trainer.optimizer={optimiser}", epochs=2)
