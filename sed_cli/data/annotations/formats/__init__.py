"""The formats, one class per file; see :mod:`sed_cli.data.annotations.format`."""
