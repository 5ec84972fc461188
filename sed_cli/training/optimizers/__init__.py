"""The optimisers that a configuration can choose, one class per file."""
