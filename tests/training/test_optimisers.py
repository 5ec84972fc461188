"""torch's optimisers without torch's compiler: the same updates, and a faster start."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from sed_cli.training.uncompiled import uncompiled


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
