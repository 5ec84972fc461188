"""The loggers, one class per file; see :class:`sed_cli.training.logger.Logger`."""
