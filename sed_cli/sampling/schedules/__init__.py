"""The schedules, a class in a file each; see :class:`sed_cli.sampling.Schedule`."""
