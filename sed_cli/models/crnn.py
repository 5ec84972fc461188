"""The convolutional recurrent network, with or without feedback of the previous activities.

Shapes: B sequences, T frames, M mel bands, F features a frame, H hidden units, C outputs: the
activities of the classes and, with ``onsets``, whether an event of each class starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from sed_cli.models import defaults
from sed_cli.models.clips import LinearSoftmaxPooling
from sed_cli.models.fast_conv import FastConvBlock
from sed_cli.models.feedback import FeedbackRule
from sed_cli.models.labels import LabelAxis
from sed_cli.models.recurrence import (
    Backend,
    Feedback,
    RecurrentState,
    feedback_gru_with_state,
    plain_gru,
)


class CRNN(nn.Module):
    """Convolutions over time and frequency, a GRU over time, a linear readout.

    Each block is convolution, batch norm, ReLU, max-pooling over frequency only, dropout. The
    GRU's input at step t is the frame's features, joined with the class activities of step t-1
    where ``feedback`` is set (zeros at the first step).

    A subclass may replace the recurrence: it overrides :meth:`decode`, and states by ``is_causal``
    whether frames depend on later ones beyond the reach of the convolutions.

    Source: Drossos et al. 2019, section 2.

    Args:
        n_mels: M, a multiple of the product of ``pooling``.
        n_classes: number of classes.
        conv_channels: of every block.
        kernel_size: of the convolutions, odd.
        pooling: factors over frequency, one per block.
        rnn_hidden: H.
        dropout: probability of dropping a value after each block, in [0, 1).
        feedback: whether the previous activities are fed back; without, it is the baseline.
        onsets: whether there is a second output for each class, after all activities: an event of
            it starts. It is fed back like activities.
        clip_head: pools the logits of activities into those of clips, as a
            :class:`.ClipPooling` builds it; None: by linear softmax.
        fed_outputs: with ``onsets``, the outputs that are fed back: ``all``, ``activities`` or
            ``onsets``.

    Attributes:
        backend: of the recurrence with feedback; not part of the model's state.
        is_causal: whether :meth:`decode` can continue from the state after the frames so far. If
            not, recordings are decoded as a whole, and ``listen`` and ``export`` are unavailable.
        n_features: F.
        n_read: inputs of the recurrence besides the feedback; F, unless a subclass adds some.

    Raises:
        ValueError: if ``n_mels`` is not a multiple of the pooling, or ``kernel_size`` is even.
    """

    is_causal: ClassVar[bool] = True
    has_onsets: bool = False

    def __init__(
        self,
        *,
        n_mels: int,
        n_classes: int,
        conv_channels: int = defaults.CONV_CHANNELS,
        kernel_size: int = defaults.KERNEL_SIZE,
        pooling: Sequence[int] = defaults.POOLING,
        rnn_hidden: int = defaults.RNN_HIDDEN,
        dropout: float = defaults.DROPOUT,
        feedback: bool = defaults.FEEDBACK,
        onsets: bool = defaults.ONSETS,
        clip_head: nn.Module | None = None,
        fed_outputs: str = defaults.FED_OUTPUTS,
    ) -> None:
        super().__init__()
        product = math.prod(pooling)
        if n_mels % product:
            raise ValueError(
                f"n_mels={n_mels}: expected a multiple of {product}, the product of {pooling}"
            )
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size}: expected an odd number")
        self.n_mels = n_mels
        self.n_classes = n_classes
        self.has_onsets = onsets
        self.has_feedback = feedback
        self.backend: Backend = "auto"
        self.context = len(pooling) * (kernel_size // 2)  # context frames on each side
        self.normalisation = Normalisation(n_mels)
        channels = [1] + [conv_channels] * len(pooling)
        self.blocks = nn.ModuleList(
            FastConvBlock(
                in_channels=channels[i],
                out_channels=channels[i + 1],
                kernel_size=kernel_size,
                pooling=pool,
                dropout=dropout,
            )
            for i, pool in enumerate(pooling)
        )
        # The layout with pooling and normalisation along the channels: faster on the CPU,
        # and on CUDA with half precision; the numbers and the state_dict stay the same.
        for block in self.blocks:
            block.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.n_features = self.n_read = conv_channels * (n_mels // product)
        # Outputs that are fed back.
        self.fed_outputs = slice(
            n_classes if fed_outputs == "onsets" else 0,
            n_classes if fed_outputs == "activities" else self.n_outputs,
        )
        self._fed_entries: tuple[str, ...] = ("activity",)
        self.cell = nn.GRUCell(self.n_features + self.n_fed_outputs, rnn_hidden)
        self.readout = nn.Linear(rnn_hidden, self.n_outputs)
        self.clip_head = clip_head or LinearSoftmaxPooling()

    def clip_logits(self, logits: Tensor, valid: Tensor | None = None) -> Tensor:
        """Pool the logits of frames (B, T, C), with onsets or without, into those of clips.

        Args:
            logits: of the frames; those of onsets are ignored.
            valid: frames that are not padding, bool (B, T); None: all.

        Returns:
            Logits of the classes in each clip, (B, n_classes).
        """
        of_clips: Tensor = self.clip_head(logits[..., : self.n_classes], valid)
        return of_clips

    @property
    def n_outputs(self) -> int:
        """C: the number of classes, or twice that with onsets."""
        return self.n_classes * (2 if self.has_onsets else 1)

    @property
    def n_fed_outputs(self) -> int:
        """Number of outputs that are fed back."""
        return self.fed_outputs.stop - self.fed_outputs.start if self.has_feedback else 0

    def take_feedback(self, rule: FeedbackRule) -> None:
        """Resize the input for a feedback rule, with random weights, if it feeds several numbers.

        Subclasses with another recurrence than the cell override this.
        """
        self._fed_entries = rule.entries
        if rule.width != 1 and self.has_feedback and hasattr(self, "cell"):
            n_inputs = self.n_read + rule.width * self.n_fed_outputs
            self.cell = nn.GRUCell(n_inputs, self.cell.hidden_size)

    @property
    def label_axes(self) -> Mapping[str, LabelAxis]:
        """Position of classes in the weights: outputs, and feedback after the features."""
        kinds = ("", "onset ")[self.fed_outputs.start > 0 :][: self.n_fed_outputs // self.n_classes]
        fed = tuple(kind + entry for entry in self._fed_entries for kind in kinds)
        return {
            "readout.weight": LabelAxis(),
            "readout.bias": LabelAxis(),
            "cell.weight_ih": LabelAxis(axis=1, start=self.n_read, outputs=fed),
            "clip_head.weight": LabelAxis(is_whole=True),
        }

    def forward(
        self,
        log_mel: Tensor,
        targets: Tensor | None = None,
        teacher_mask: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        feedback: Feedback = "hard",
        noise: Tensor | None = None,
    ) -> Tensor:
        """Compute the logits of every frame and output.

        Args:
            log_mel: (B, T, M) or (B, 1, T, M), not normalised: the model does that.
            targets: of the outputs, (B, T, C); required where ``teacher_mask`` is set.
            teacher_mask: bool (B, T) or (B, T, C); None: free running.
            lengths: frames of each sequence that are not padding, (B,); None: all. The contents of
                the padding then have no effect before it.
            feedback: rule for the model's own output: ``hard``, ``sampled``, ``soft``, or the rule
                that its input was resized for (:meth:`take_feedback`).
            noise: uniforms in [0, 1), (B, T, C), for ``sampled``.

        Returns:
            Logits (B, T, C), float32; undefined in the padding.

        Raises:
            ValueError: if shapes do not fit.
        """
        features = self.encode(log_mel, lengths)  # (B, T, F)
        logits, _ = self.decode(
            features, targets, teacher_mask, lengths=lengths, feedback=feedback, noise=noise
        )
        return logits

    def encode(
        self, log_mel: Tensor, lengths: Tensor | None = None, *, starts: Tensor | None = None
    ) -> Tensor:
        """Run the convolutions: (B, T, M) or (B, 1, T, M) -> features (B, T, F).

        Frames before ``starts`` and from ``lengths`` on, both (B,), are padding: their
        contents have no effect elsewhere, as if the sequence started and ended there.
        """
        if log_mel.ndim == 3:
            log_mel = log_mel.unsqueeze(1)  # (B, T, M) -> (B, 1, T, M)
        if log_mel.ndim != 4 or log_mel.shape[1] != 1 or log_mel.shape[3] != self.n_mels:
            raise ValueError(
                f"log_mel of shape {tuple(log_mel.shape)}: expected (B, T, {self.n_mels}) "
                f"or (B, 1, T, {self.n_mels})"
            )
        valid = _valid_frames(log_mel, lengths, starts)  # (B, 1, T, 1) or None
        x = self.normalisation(log_mel)
        if valid is not None:
            x = torch.where(valid, x, 0.0)
        for block in self.blocks:
            x = block(x, valid)  # (B, channels, T, bands)
        # (B, channels, T, bands) -> (B, T, channels, bands) -> (B, T, F)
        features: Tensor = x.permute(0, 2, 1, 3).flatten(2).to(self.readout.weight.dtype)
        return features

    def decode(
        self,
        features: Tensor,
        targets: Tensor | None = None,
        teacher_mask: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        feedback: Feedback = "hard",
        noise: Tensor | None = None,
        initial_state: RecurrentState | None = None,
    ) -> tuple[Tensor, RecurrentState | None]:
        """Run the recurrence: features (B, T, F) -> logits (B, T, C) and the state after them.

        Padding from ``lengths`` (B,) on only matters for a non-causal recurrence, which returns no
        state.
        """
        if not self.has_feedback:
            hidden = None if initial_state is None else initial_state.hidden
            logits, last = plain_gru(features, self.cell, self.readout, hidden)
            return logits, RecurrentState(last, logits.new_zeros(len(logits), self.n_outputs))
        return feedback_gru_with_state(
            features,
            targets,
            teacher_mask,
            self.cell,
            self.readout,
            self.backend,
            feedback=feedback,
            noise=noise,
            initial_state=initial_state,
            fed_outputs=self.fed_outputs,
        )


class Normalisation(nn.Module):
    """Shift and scale of each mel band, set from the training split and kept in the checkpoint."""

    mean: Tensor
    std: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take the statistics of the training split, each (M,); a constant band is only shifted."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def blend(self, other: Normalisation, share: float) -> None:
        """Take the statistics of data mixed with a share, in [0, 1], of another normalisation."""
        if share == 1:
            self.load_state_dict(other.state_dict())
            return
        other_mean, other_std = other.mean.to(self.mean), other.std.to(self.std)
        mean = torch.lerp(self.mean, other_mean, share)
        var = (1 - share) * (self.std.square() + (self.mean - mean).square())
        var += share * (other_std.square() + (other_mean - mean).square())
        self.set_statistics(mean, var.sqrt())

    def forward(self, log_mel: Tensor) -> Tensor:
        """Normalise (..., M)."""
        normalised: Tensor = (log_mel - self.mean) / self.std
        return normalised


def _valid_frames(log_mel: Tensor, lengths: Tensor | None, starts: Tensor | None) -> Tensor | None:
    if lengths is None and starts is None:
        return None
    frames = torch.arange(log_mel.shape[2], device=log_mel.device)
    valid = frames.new_ones(len(log_mel), len(frames), dtype=torch.bool)  # (B, T)
    if lengths is not None:
        valid = frames < lengths.to(log_mel.device)[:, None]
    if starts is not None:
        valid = valid & (frames >= starts.to(log_mel.device)[:, None])
    return valid[:, None, :, None]
