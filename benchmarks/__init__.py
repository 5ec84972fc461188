"""What is measured, and against what: a script a question. ``python -m benchmarks --help``."""
