"""The formats, a class in a file each; see :mod:`sed_cli.data.annotations.format`."""
