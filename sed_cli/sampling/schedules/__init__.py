"""The schedules, one class per file; see :class:`sed_cli.sampling.Schedule`."""
