"""The decoders that a configuration can choose, one class per file."""
