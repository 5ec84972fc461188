"""Default sizes of the CRNN, for its constructor and its settings."""

CONV_CHANNELS = 32
KERNEL_SIZE = 5
POOLING = (5, 4, 2)  # 40 bands become 1
RNN_HIDDEN = 64
DROPOUT = 0.25
FEEDBACK = True
ONSETS = False
CLIP_POOLING = "linear_softmax"
FED_OUTPUTS = "all"
