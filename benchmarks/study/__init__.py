"""The study: when does conditioning on the past help? See ``python -m benchmarks.study --help``."""
