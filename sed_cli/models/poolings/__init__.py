"""The poolings over time, a class in a file each; see :mod:`sed_cli.models.pooling`."""
