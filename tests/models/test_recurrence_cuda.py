"""The GPU back end: its logic in Triton's interpreter, its compilation, its fallbacks, and a GPU.

The interpreter is chosen when Triton is imported, so the tests that need it run in a process of
their own, which one of the others starts.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sed_cli.models.recurrence import (
    FEEDBACKS,
    Feedback,
    FeedbackRule,
    Likeliest,
    RecurrentState,
    Thresholded,
    cuda,
    feedback_gru,
    feedback_gru_with_state,
    token_gru,
)
from sed_cli.models.recurrence.buffers import Weights
from sed_cli.models.recurrence.plain import PlainScan
from tests.models.test_tokens import Case

# Float32 sums in another order differ by up to 1e-6 of their norm; the smallest case here has
# gradients of a single number, the difference of larger ones, which loses a little more.
SINGLE_PRECISION = 3e-6

needs_interpreter = pytest.mark.skipif(
    not cuda.interprets(), reason="runs in the process that the test of the interpreter starts"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture(params=["units", "tiles"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use the one kind of kernels or the other."""
    pytest.importorskip("triton")
    if request.param == "tiles":
        from sed_cli.models.recurrence.kernels import units

        monkeypatch.setattr(units, "serves", lambda weights: False)
    return str(request.param)


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
) -> list[tuple[Tensor, Tensor]]:
    """Logits, last hidden state and all gradients, of this back end and of the reference."""
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
    for backend in ("cuda", "reference"):
        logits, last = feedback_gru_with_state(
            features,
            targets,
            masks[coin],
            cell,
            readout,
            backend,  # type: ignore[arg-type]
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
def test_kernels_agree_with_the_reference(
    kernels: str,
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
def test_kernels_agree_with_the_reference_on_tokens(
    kernels: str,
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
    pairs = [case.values(name, mask, feedback=feedback) for name in ("cuda", "reference")]
    for got, want in zip(*pairs, strict=True):
        assert relative_error(got, want) < SINGLE_PRECISION


@needs_interpreter
@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_kernels_choose_a_token_among_nan(kernels: str, feedback: Feedback) -> None:
    case = Case(2, 5, 1, 4, 3, 2, torch.float32)
    with torch.no_grad():
        case.features[1, 2, 0] = float("nan")
    logits = case.run("cuda", None, feedback=feedback)
    assert torch.isnan(logits[1, 2:]).all()
    assert torch.isfinite(logits[0]).all()
    for empty in (case.features[:0], case.features[:, :0]):
        logits, _ = token_gru(empty, None, None, case.cell, case.readout, case.table, "cuda")
        assert logits.shape == (*empty.shape[:2], 3)


@needs_interpreter
def test_kernels_let_nan_surface_and_take_empty_batches(kernels: str) -> None:
    cell, readout = nn.GRUCell(9, 12), nn.Linear(12, 3)
    features = torch.randn(2, 5, 6)
    features[1, 2, 0] = float("nan")
    logits = feedback_gru(features, None, None, cell, readout, "cuda")
    assert torch.isnan(logits[1, 2:]).all()
    assert torch.isfinite(logits[0]).all()
    for empty in (features[:0], features[:, :0]):
        logits = feedback_gru(empty, None, None, cell, readout, "cuda")
        assert logits.shape == (*empty.shape[:2], 3)
        logits.sum().backward()


@needs_interpreter
def test_kernels_run_more_tiles_than_there_are_processors_in_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sed_cli.models.recurrence.kernels import units

    few = {"max_shared_mem": 227 * 1024, "multiprocessor_count": 3}
    monkeypatch.setattr(units, "_properties", lambda device: few)
    assert units._Division.of(20, 40, 3) == units._Division(n_parts=2, n_tiles=1, block_b=32)
    for got, want in run_both("cpu", 40, 2, 20, 3, "sampled", "step"):
        assert relative_error(got, want) < SINGLE_PRECISION


@pytest.mark.skipif(cuda.interprets(), reason="is in the interpreter's process already")
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


def shared_memory(kernel: Any, values: dict[str, Any], n_warps: int) -> int:
    """Compile for compute capability 9.0 and return the bytes that a program needs."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from sed_cli.models.recurrence.kernels.steps import SIZES

    types = dict.fromkeys(kernel.arg_names, "*fp32")
    types |= {name: "i32" for name in [*SIZES, "n_hidden"] if name in types}
    types |= {"arrived": "*i32"} if "arrived" in types else {}
    if "mask" in types:
        types |= {"mask": "*u8", "tokens": "*i64"}
        types |= {"targets": "*i64"} if values["TOKENS"] else {}
    types |= dict.fromkeys(values, "constexpr")
    places = {(kernel.arg_names.index(name),): value for name, value in values.items()}
    source = ASTSource(kernel, signature=types, constexprs=places)
    options = {"num_warps": n_warps, "launch_cooperative_grid": "WAITS" in values}
    built = compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    return int(built.metadata.shared)


compiles = pytest.mark.skipif(cuda.interprets(), reason="the interpreter does not compile")
ON_HOPPER = 227 * 1024  # bytes of shared memory that a program may have there
# Tokens add one product, of a kind that is there already; and what is fed does not change others.
KINDS = [("tf32x3", rule, tokens) for rule in range(3) for tokens in (False, True)]
KINDS += [("tf32", 0, False), ("bf16", 0, False)]


@compiles
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION:UserWarning")
@pytest.mark.parametrize(("precision", "rule", "tokens"), KINDS)
def test_kernels_for_tiles_compile_for_the_gpu_without_one(
    precision: str, rule: int, tokens: bool
) -> None:
    """The interpreter takes much that the compiler refuses."""
    pytest.importorskip("triton")
    from sed_cli.models.recurrence.kernels import tiles

    constants = {"BLOCK_B": 16, "BLOCK_N": 64, "BLOCK_K": 64, "PRECISION": precision}
    size = 128 if tokens else 16
    forward = {"HAS_TRUTH": True, "RULE": rule, "TOKENS": tokens}
    forward |= {"BLOCK_C": size, "BLOCK_D": size}
    assert shared_memory(tiles._forward_kernel, constants | forward, 8) <= ON_HOPPER
    assert shared_memory(tiles._backward_kernel, constants, 8) <= ON_HOPPER


@compiles
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION:UserWarning")
@pytest.mark.parametrize(("precision", "rule", "tokens"), KINDS)
@pytest.mark.parametrize("n_hidden", [128, 256])
def test_kernels_for_units_keep_their_weights_on_chip(
    precision: str, rule: int, tokens: bool, n_hidden: int
) -> None:
    pytest.importorskip("triton")
    from sed_cli.models.recurrence.kernels import units

    for block_b in units.TILES:
        constants = {"BLOCK_B": block_b, "BLOCK_C": 16, "PRECISION": precision, "WAITS": True}
        forward = {"HAS_TRUTH": True, "RULE": rule, "TOKENS": tokens, "BLOCK_D": 16}
        forward |= constants | units.blocks(n_hidden, units.FORWARD_K)
        n_warps = forward.pop("num_warps")
        assert shared_memory(units._forward_kernel, forward, n_warps) <= ON_HOPPER
        backward = constants | units.blocks(n_hidden, units.BACKWARD_K)
        del backward["num_warps"]
        assert shared_memory(units._backward_kernel, backward, n_warps) <= ON_HOPPER


def test_a_kernel_without_room_gives_way_to_the_next(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("triton")
    from triton.runtime.errors import OutOfResources

    class TooLarge:
        def forward(self, *arguments: object) -> None:
            raise OutOfResources(300_000, 232_448, "shared memory")

    ran = []

    class Fits:
        def forward(self, *arguments: object) -> None:
            ran.append(arguments)

    cuda._log_once.cache_clear()
    scan = cuda._FirstThatFits([TooLarge, Fits])  # type: ignore[list-item]
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            scan.forward(1, 2)  # type: ignore[arg-type]
    assert ran == [(1, 2)] * 2
    assert ["TooLarge does not fit this GPU" in r.getMessage() for r in caplog.records] == [True]


class _Own:
    def __call__(self, logits: Tensor, step: int) -> Tensor:
        return torch.zeros_like(logits)


@pytest.mark.parametrize(
    ("n_classes", "n_hidden", "dtype", "rule", "reason"),
    [
        (129, 4, torch.float32, Thresholded(), "129 classes"),
        (3, 1025, torch.float32, Thresholded(), "1025 hidden units"),
        (3, 4, torch.float64, Thresholded(), "float64"),
        (3, 4, torch.float32, _Own(), "_Own"),
    ],
)
def test_what_triton_does_not_serve_runs_plain_for_a_logged_reason(
    n_classes: int,
    n_hidden: int,
    dtype: torch.dtype,
    rule: FeedbackRule,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(cuda, "_has_triton", lambda: True)
    cuda._log_once.cache_clear()
    weights = Weights(
        w_ih=torch.zeros(3 * n_hidden, 2 + n_classes, dtype=dtype),
        w_hh=torch.zeros(3 * n_hidden, n_hidden, dtype=dtype),
        b_ih=torch.zeros(3 * n_hidden, dtype=dtype),
        b_hh=torch.zeros(3 * n_hidden, dtype=dtype),
        w_out=torch.zeros(n_classes, n_hidden, dtype=dtype),
        b_out=torch.zeros(n_classes, dtype=dtype),
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert isinstance(cuda.scan(weights, rule), PlainScan)
    assert [reason in record.getMessage() for record in caplog.records] == [True]  # said once


def test_long_embeddings_run_plain_for_a_logged_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_has_triton", lambda: True)
    weights = Weights(torch.zeros(3, 129), *[torch.zeros(3, 1)] * 5, table=torch.zeros(3, 129))
    reason = cuda._reason_against_triton(weights, Likeliest())
    assert reason == "embeddings of 129 values are more than 128"


def test_a_missing_triton_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_has_triton", lambda: False)
    weights = Weights(*[torch.zeros(3, 3)] * 6)
    assert cuda._reason_against_triton(weights, Thresholded()) == "Triton is not installed"


@pytest.mark.skipif(cuda.interprets(), reason="the interpreter takes tensors on the CPU")
def test_tensors_on_the_cpu_are_refused() -> None:
    with pytest.raises(ValueError, match="move them to a GPU"):
        feedback_gru(torch.zeros(1, 2, 3), None, None, nn.GRUCell(5, 4), nn.Linear(4, 2), "cuda")


@needs_gpu
@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("coin", ["none", "step", "class"])
@pytest.mark.parametrize(("n_sequences", "n_hidden"), [(1, 16), (8, 256), (40, 130)])
def test_a_gpu_agrees_with_the_reference(
    kernels: str, feedback: Feedback, coin: str, n_sequences: int, n_hidden: int
) -> None:
    for got, want in run_both("cuda", n_sequences, 30, n_hidden, 5, feedback, coin):
        assert relative_error(got, want) < SINGLE_PRECISION


@needs_gpu
def test_bfloat16_products_on_request_stay_near(kernels: str) -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        pairs = run_both("cuda", 3, 4, 20, 3, "soft", "step")
    finally:
        torch.set_float32_matmul_precision("highest")
    errors = [relative_error(got, want) for got, want in pairs]
    assert max(errors) < 3e-2  # bfloat16 has 8 bits: 4e-3 a product, a few of them in a row
    assert max(errors) > SINGLE_PRECISION  # or the request went unheard


@needs_gpu
def test_auto_on_a_gpu_takes_masks_that_stayed_on_the_cpu() -> None:
    cell, readout = nn.GRUCell(9, 16).cuda(), nn.Linear(16, 3).cuda()
    features, targets = torch.randn(4, 7, 6).cuda(), (torch.rand(4, 7, 3) > 0.5).float().cuda()
    for mask in (torch.rand(4, 7) < 0.5, torch.ones(4, 7, dtype=torch.bool)):
        got = feedback_gru(features, targets, mask, cell, readout)
        want = feedback_gru(features, targets, mask.cuda(), cell, readout, "reference")
        assert relative_error(got, want) < SINGLE_PRECISION
