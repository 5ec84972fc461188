"""The learning-rate schedules that a configuration can choose, a class in a file each."""
