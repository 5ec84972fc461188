"""What is made once and kept: log-mel features and generated recordings.

Everything in the cache is named by a hash of all that it was made from, written under a temporary
name and moved into place: an interrupted or concurrent run leaves nothing half-made.

Nothing is imported here: to list and clear the cache must not take torch.
"""
