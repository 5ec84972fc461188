"""The metrics, one class per file; see :class:`sed_cli.metrics.metric.Metric`."""
