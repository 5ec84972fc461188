"""The loggers, a class in a file each; see :class:`sed_cli.training.logger.Logger`."""
