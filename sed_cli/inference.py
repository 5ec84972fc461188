"""The Python interface: ``load(checkpoint).predict(path_or_array)``."""

from sed_cli.tasks.detection.load import load

__all__ = ["load"]
