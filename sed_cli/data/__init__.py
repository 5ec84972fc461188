"""Recordings and annotations to sequences of features and activities.

This module imports nothing: processes that generate soundscapes must start without torch.
"""
