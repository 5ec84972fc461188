"""The fast convolution block against its definition."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from sed_cli.models.conv import ConvBlock
from sed_cli.models.fast_conv import FastConvBlock, FastDropout


def make_block(in_channels: int, *, kernel_size: int = 5, pooling: int = 2) -> FastConvBlock:
    torch.manual_seed(0)
    block = FastConvBlock(
        in_channels=in_channels,
        out_channels=6,
        kernel_size=kernel_size,
        pooling=pooling,
        dropout=0.0,
    )
    with torch.no_grad():
        block.norm.weight.uniform_(-1.5, 1.5)  # a negative one reverses the order
        block.norm.bias.normal_(0, 0.2)
        block.norm.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
        block.norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return block


def definition(block: FastConvBlock) -> ConvBlock:
    """The reference block with the same weights and statistics, in the same mode and dtype."""
    conv = block.conv
    plain = ConvBlock(
        in_channels=conv.in_channels,
        out_channels=conv.out_channels,
        kernel_size=conv.kernel_size[0],
        pooling=block.pooling,
        dropout=block.dropout.p,
    )
    plain.load_state_dict(block.state_dict())  # with the same names
    return plain.to(conv.weight.dtype).train(block.training)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize(
    ("n_frames", "n_bands", "kernel_size", "pooling"),
    [(11, 8, 5, 2), (7, 15, 3, 5), (3, 4, 5, 4), (2, 2, 5, 1), (3, 2, 1, 2)],
)
def test_it_equals_its_definition_in_values_gradients_and_statistics(
    training: bool,
    padded: bool,
    channels_last: bool,
    in_channels: int,
    n_frames: int,
    n_bands: int,
    kernel_size: int,
    pooling: int,
) -> None:
    block = make_block(in_channels, kernel_size=kernel_size, pooling=pooling).double()
    block.train(training)
    if channels_last:  # as in the model
        block = block.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain = definition(block)
    x = torch.randn(3, in_channels, n_frames, n_bands, dtype=torch.float64)
    valid = None
    if padded:
        lengths = torch.tensor([n_frames, 1, 0])
        valid = (torch.arange(n_frames) < lengths[:, None])[:, None, :, None]
        x = torch.where(valid, x, 0.0)
    x = x.requires_grad_()
    found, expected = block(x, valid), plain(x, valid)
    weights = torch.randn_like(expected)

    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for name, tensor in plain.norm.state_dict().items():
        torch.testing.assert_close(block.norm.state_dict()[name], tensor, rtol=1e-10, atol=1e-10)
    leaves = [x, *block.parameters()]
    others = [x, *plain.parameters()]
    grads = torch.autograd.grad((found * weights).sum(), leaves)
    for grad, other in zip(
        grads, torch.autograd.grad((expected * weights).sum(), others), strict=True
    ):
        torch.testing.assert_close(grad, other, rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("in_channels", [1, 16])
def test_float32_agrees_to_1e_6(training: bool, in_channels: int) -> None:
    block = make_block(in_channels).train(training)
    plain = definition(block)
    x = torch.randn(4, in_channels, 40, 20)

    # The required agreement; sums of up to 400 products in another order leave about 2e-7.
    assert relative(block(x), plain(x)) < 1e-6
    assert block.norm.running_mean is not None
    assert plain.norm.running_mean is not None
    assert relative(block.norm.running_mean, plain.norm.running_mean) < 1e-6


@torch.no_grad()
def test_statistics_stay_exact_where_neighbours_are_alike() -> None:
    block = make_block(1).train()
    difference = torch.zeros(5, 5)
    difference[2, 2], difference[2, 3] = 1.0, -1.0
    block.conv.weight.copy_(difference.expand(6, 1, 5, 5))
    # Loud and nearly constant: the variance of its differences is 1e-8 of its power. Padding is
    # kept from the differences by zeros at the edge.
    x = torch.zeros(2, 1, 60, 20)
    x[..., :-1] = 10 + torch.cumsum(0.001 * torch.randn(2, 1, 60, 19), dim=3)
    x[..., 0] = 0
    exact = definition(block).double()

    found, expected = block(x), exact(x.double())

    # The float32 sums of the convolution itself round to 1e-7 of 10, the scale of its output is 3.
    assert relative(found.double(), expected) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("in_channels", [1, 3])
def test_bfloat16_stays_near_the_definition_in_float32(in_channels: int) -> None:
    block = make_block(in_channels).train()
    x = torch.randn(4, in_channels, 30, 8)
    valid = torch.arange(30)[:, None] < torch.tensor([30, 20, 25, 30])[:, None, None, None]
    x = torch.where(valid, x, 0.0)

    for mask in (None, valid):
        expected = definition(block)(x, mask)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reduced = copy.deepcopy(block)
            found = reduced(x, mask)

        assert found.dtype == torch.bfloat16
        assert reduced.norm.running_mean.dtype == torch.float32
        assert relative(found.float(), expected) < 0.01  # 8 bits: 0.004 a value


def test_no_gradient_is_computed_for_the_spectrogram() -> None:
    block = make_block(1).train()
    nodes: list[torch.autograd.graph.Node] = [block(torch.randn(2, 1, 9, 8)).grad_fn]
    for node in nodes:  # grows while iterating
        nodes += [child for child, _ in node.next_functions if child and child not in nodes]

    products = [node for node in nodes if node.name().startswith("Mm")]
    assert len(products) == 2  # of the output, in float32, and of its statistics, in float64
    for product in products:
        assert [source for source, _ in product.next_functions].count(None) == 1


# ----------------------------------------------------------------------------------- dropout


def test_dropout_keeps_a_share_and_scales_it_so_that_the_mean_stays() -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 8, 20, 100)
    for p in (0.1, 0.25, 0.9):
        dropped = FastDropout(p).train()(x)

        values = dropped.unique()
        torch.testing.assert_close(values, torch.tensor([0, 1 / (1 - p)]), rtol=2e-4, atol=0)
        # A million draws: three and a half standard deviations are 0.0018 at most.
        assert abs(float((dropped == 0).double().mean()) - p) < 0.0018
        # The scale compensates for the rounding of p: only the spread of the draws is left.
        assert abs(float(dropped.double().mean()) - 1) < 3.5 * (p / (1 - p) / x.numel()) ** 0.5


def test_dropout_decides_for_each_value_alone() -> None:
    torch.manual_seed(0)
    dropped = FastDropout(0.5).train()(torch.ones(400, 7, 11, 13)) == 0

    for axis in range(1, 4):
        neighbours = dropped.narrow(axis, 1, dropped.shape[axis] - 1)
        same = neighbours == dropped.narrow(axis, 0, dropped.shape[axis] - 1)
        assert abs(float(same.double().mean()) - 0.5) < 0.004  # 3.5 deviations of 340,000 pairs


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_is_repeatable_and_its_gradient_is_its_factor(layout: torch.memory_format) -> None:
    x = torch.randn(3, 5, 7, 9).contiguous(memory_format=layout).requires_grad_()
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(FastDropout(0.25).train()(x))
    (grad,) = torch.autograd.grad(results[0].sum(), x)

    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], FastDropout(0.25).train()(x))
    assert results[0].stride() == x.stride()
    torch.testing.assert_close(results[0], x * grad)


def test_dropout_takes_layouts_with_gaps_and_repeats() -> None:
    wide = torch.ones(4, 6, 10, 8)
    for x in (wide[:, ::2], wide[..., :1].expand(4, 6, 10, 8), wide[:, :1], wide[:0]):
        assert FastDropout(0.25).train()(x).shape == x.shape
    assert FastDropout(0.5).train()(wide[..., :1].expand(4, 6, 10, 8)).std(dim=3).mean() > 0.5


def test_dropout_is_off_in_evaluation_and_at_zero_and_total_at_one() -> None:
    x = torch.randn(3, 5)

    assert torch.equal(FastDropout(0.5).eval()(x), x)
    assert torch.equal(FastDropout(0.0).train()(x), x)
    assert not FastDropout(1.0).train()(x).any()
