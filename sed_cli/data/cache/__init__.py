"""The cache: log-mel features and generated recordings.

Everything in the cache is named by a hash of its inputs, written under a temporary name and
moved into place: interrupted or concurrent runs leave nothing incomplete.

This module imports nothing: listing and clearing the cache must not import torch.
"""
