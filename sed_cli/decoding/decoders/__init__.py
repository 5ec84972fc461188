"""The decoders that a configuration can choose, a class in a file each."""
