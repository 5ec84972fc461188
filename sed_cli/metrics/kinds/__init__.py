"""The metrics, a class in a file each; see :class:`sed_cli.metrics.metric.Metric`."""
