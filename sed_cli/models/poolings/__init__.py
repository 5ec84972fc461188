"""The poolings over time, one class per file; see :mod:`sed_cli.models.pooling`."""
