"""The Triton back end: its logic in Triton's interpreter, its compilation, its refusals, and a GPU.

The interpreter is chosen when Triton is imported, so the tests that need it run in a separate
process, which one of the other tests starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sed_cli.models import recurrence
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.recurrence import (
    Feedback,
    RecurrentState,
    feedback_gru,
    feedback_gru_with_state,
    triton_scan,
)
from sed_cli.models.recurrence.problem import make_problem
from tests.models.making import RULES_WITHOUT_MEMORY
from tests.models.test_tokens import Case

# Float32 sums in another order differ by up to 1e-6 of their norm; the smallest case here has
# gradients of a single number, the difference of larger ones, which loses a little more.
SINGLE_PRECISION = 3e-6

needs_interpreter = pytest.mark.skipif(
    not triton_scan.interprets(),
    reason="runs in the process that the test of the interpreter starts",
)

FEEDBACKS = RULES_WITHOUT_MEMORY
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture
def kernels() -> None:
    pytest.importorskip("triton")


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got - want).norm() / want.norm().clamp_min(1e-30))  # 0 against 0 agrees


def run_both(
    device: str,
    n_sequences: int,
    n_steps: int,
    n_hidden: int,
    n_classes: int,
    feedback: Feedback,
    coin: str,
    backend: Any = "triton",
) -> list[tuple[Tensor, Tensor]]:
    """Logits, last hidden state and all gradients, for this back end and for the definition."""
    torch.manual_seed(3)
    shape = (n_sequences, n_steps, n_classes)
    features = torch.randn(n_sequences, n_steps, 6).to(device).requires_grad_()
    targets = (torch.rand(shape) > 0.6).float().to(device).requires_grad_()
    noise = torch.rand(shape).to(device)
    masks = {"none": None, "step": torch.rand(shape[:2]) < 0.5, "class": torch.rand(shape) < 0.5}
    cell = nn.GRUCell(6 + n_classes, n_hidden).to(device)
    readout = nn.Linear(n_hidden, n_classes).to(device)
    state = RecurrentState(
        torch.randn(n_sequences, n_hidden).mul(0.1).to(device).requires_grad_(),
        torch.rand(n_sequences, n_classes).to(device),
    )
    results = []
    for name in (backend, "plain"):
        logits, last = feedback_gru_with_state(
            features,
            targets,
            masks[coin],
            cell,
            readout,
            name,
            feedback=feedback,
            noise=noise,
            initial_state=state,
        )
        leaves = [features, state.hidden, *cell.parameters(), *readout.parameters()]
        leaves += [targets] if masks[coin] is not None else []
        loss = logits.square().sum() + last.hidden.sum()
        results.append([logits, *last, *torch.autograd.grad(loss, leaves)])
    return list(zip(*results, strict=True))


@needs_interpreter
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("coin", ["none", "step", "class"])
@pytest.mark.parametrize(
    ("n_sequences", "n_steps", "n_hidden", "n_classes"),
    [(1, 3, 5, 1), (3, 4, 20, 3), (18, 2, 70, 17)],
)
def test_kernels_agree_with_the_definition(
    kernels: None,
    feedback: Feedback,
    coin: str,
    n_sequences: int,
    n_steps: int,
    n_hidden: int,
    n_classes: int,
) -> None:
    pairs = run_both("cpu", n_sequences, n_steps, n_hidden, n_classes, feedback, coin)
    for got, want in pairs:
        assert relative_error(got, want) < SINGLE_PRECISION


@needs_interpreter
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize(
    ("n_sequences", "n_steps", "n_features", "n_hidden", "n_tokens", "size"),
    [(1, 3, 0, 5, 1, 1), (3, 4, 2, 20, 9, 5), (18, 2, 0, 70, 33, 17)],
)
def test_kernels_agree_with_the_definition_on_tokens(
    kernels: None,
    feedback: Feedback,
    forced: bool,
    n_sequences: int,
    n_steps: int,
    n_features: int,
    n_hidden: int,
    n_tokens: int,
    size: int,
) -> None:
    case = Case(n_sequences, n_steps, n_features, n_hidden, n_tokens, size, torch.float32)
    mask = case.mask if forced else None
    pairs = [case.values(name, mask, feedback=feedback) for name in ("triton", "plain")]
    for got, want in zip(*pairs, strict=True):
        assert relative_error(got, want) < SINGLE_PRECISION


@needs_interpreter
@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_kernels_choose_a_token_among_nan(kernels: None, feedback: Feedback) -> None:
    case = Case(2, 5, 1, 4, 3, 2, torch.float32)
    with torch.no_grad():
        case.features[1, 2, 0] = float("nan")
    logits = case.run("triton", None, feedback=feedback)
    assert torch.isnan(logits[1, 2:]).all()
    assert torch.isfinite(logits[0]).all()
    for empty in (case.features[:0], case.features[:, :0]):
        logits = feedback_gru(
            empty, None, None, case.cell, case.readout, "triton", table=case.table
        )
        assert logits.shape == (*empty.shape[:2], 3)


@needs_interpreter
def test_kernels_let_nan_surface_and_take_empty_batches(kernels: None) -> None:
    cell, readout = nn.GRUCell(9, 12), nn.Linear(12, 3)
    features = torch.randn(2, 5, 6)
    features[1, 2, 0] = float("nan")
    logits = feedback_gru(features, None, None, cell, readout, "triton")
    assert torch.isnan(logits[1, 2:]).all()
    assert torch.isfinite(logits[0]).all()
    for empty in (features[:0], features[:, :0]):
        logits = feedback_gru(empty, None, None, cell, readout, "triton")
        assert logits.shape == (*empty.shape[:2], 3)
        logits.sum().backward()


@pytest.mark.skipif(triton_scan.interprets(), reason="is in the interpreter's process already")
def test_the_interpreter_passes_its_tests() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        [*command, "-k", "kernels", "-W", "ignore"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def shared_memory(kernel: Any, values: dict[str, Any]) -> int:
    """Compile for compute capability 9.0 and return the bytes that a program needs."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from sed_cli.models.recurrence.kernels import SIZES

    types = dict.fromkeys(kernel.arg_names, "*fp32")
    types |= {name: "i32" for name in [*SIZES, "n_hidden"] if name in types}
    if "mask" in types:
        types |= {"mask": "*u8", "tokens": "*i64"}
        types |= {"targets": "*i64"} if values["TOKENS"] else {}
    types |= dict.fromkeys(values, "constexpr")
    places = {(kernel.arg_names.index(name),): value for name, value in values.items()}
    source = ASTSource(kernel, signature=types, constexprs=places)
    built = compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8})
    return int(built.metadata.shared)


@pytest.mark.skipif(triton_scan.interprets(), reason="the interpreter does not compile")
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION:UserWarning")
@pytest.mark.parametrize("rule", range(3))
@pytest.mark.parametrize("tokens", [False, True])
def test_kernels_compile_for_the_gpu_without_one(kernels: None, rule: int, tokens: bool) -> None:
    """The interpreter accepts much that the compiler rejects."""
    from sed_cli.models.recurrence.kernels import backward_kernel, forward_kernel

    on_hopper = 227 * 1024  # bytes of shared memory that a program may have there
    constants = {"BLOCK_B": 16, "BLOCK_N": 64, "BLOCK_K": 64}
    size = 128 if tokens else 16
    forward = {"HAS_TRUTH": True, "RULE": rule, "TOKENS": tokens}
    forward |= {"BLOCK_C": size, "BLOCK_D": size}
    assert shared_memory(forward_kernel, constants | forward) <= on_hopper
    assert shared_memory(backward_kernel, constants) <= on_hopper


class _Own(FeedbackRule):
    def activities(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        return torch.zeros_like(logits)

    def tokens(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        return torch.zeros_like(logits[:, 0], dtype=torch.int64)


@pytest.mark.parametrize(
    ("n_classes", "n_hidden", "size", "dtype", "feedback", "reason"),
    [
        (129, 4, None, torch.float32, "hard", "129 classes are more than 128"),
        (3, 1025, None, torch.float32, "hard", "1025 hidden units are more than 1024"),
        (3, 4, 129, torch.float32, "hard", "embeddings of 129 values are more than 128"),
        (3, 4, None, torch.float64, "hard", "float64"),
        (3, 4, None, torch.float32, _Own(), "_Own is a rule of the caller's own"),
    ],
)
def test_what_the_kernels_do_not_serve_is_refused_with_the_reason(
    n_classes: int,
    n_hidden: int,
    size: int | None,
    dtype: torch.dtype,
    feedback: Any,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triton_scan, "interprets", lambda: True)
    monkeypatch.setattr(triton_scan.importlib.util, "find_spec", lambda name: name)
    features = torch.zeros(1, 2, 2, dtype=dtype)
    cell = nn.GRUCell(2 + (size or n_classes), n_hidden, dtype=dtype)
    readout = nn.Linear(n_hidden, n_classes, dtype=dtype)
    table = None if size is None else torch.zeros(n_classes, size)
    with pytest.raises(triton_scan.UnservedError, match=f"{reason}.*: use auto"):
        feedback_gru(features, None, None, cell, readout, "triton", table=table, feedback=feedback)


def test_a_missing_triton_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_scan, "interprets", lambda: True)
    monkeypatch.setattr(triton_scan.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Triton is not installed"):
        feedback_gru(torch.zeros(1, 2, 3), None, None, nn.GRUCell(5, 4), nn.Linear(4, 2), "triton")


def test_auto_never_takes_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU it runs torch's operations; asked of a device that only describes tensors."""
    taken: list[object] = []
    monkeypatch.setattr(
        recurrence.fused, "run", lambda problem, scan: taken.append(scan) or (None, None)
    )
    with torch.device("meta"):
        cell, readout = nn.GRUCell(5, 4), nn.Linear(4, 2)
        problem = make_problem(
            torch.zeros(1, 2, 3), None, None, cell, readout, None, "hard", None, None
        )
        recurrence._run(problem, "auto")
    assert taken == [recurrence.TorchScan]


@needs_gpu
@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("coin", ["none", "step", "class"])
@pytest.mark.parametrize(("n_sequences", "n_hidden"), [(1, 16), (8, 256), (40, 130)])
def test_a_gpu_agrees_with_the_definition(
    backend: Any, feedback: Feedback, coin: str, n_sequences: int, n_hidden: int
) -> None:
    pairs = run_both("cuda", n_sequences, 30, n_hidden, 5, feedback, coin, backend)
    for got, want in pairs:
        assert relative_error(got, want) < SINGLE_PRECISION


@needs_gpu
def test_auto_on_a_gpu_takes_masks_that_stayed_on_the_cpu() -> None:
    cell, readout = nn.GRUCell(9, 16).cuda(), nn.Linear(16, 3).cuda()
    features, targets = torch.randn(4, 7, 6).cuda(), (torch.rand(4, 7, 3) > 0.5).float().cuda()
    for mask in (torch.rand(4, 7) < 0.5, torch.ones(4, 7, dtype=torch.bool)):
        got = feedback_gru(features, targets, mask, cell, readout)
        want = feedback_gru(features, targets, mask.cuda(), cell, readout, "plain")
        assert relative_error(got, want) < SINGLE_PRECISION
