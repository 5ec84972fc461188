"""Recordings and annotations to sequences of features and activities.

Nothing is imported here: the processes that generate soundscapes must start without torch.
"""
