"""The contents of a data set, shown before training."""
