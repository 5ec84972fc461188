"""The learning-rate schedules that a configuration can choose, one class per file."""
