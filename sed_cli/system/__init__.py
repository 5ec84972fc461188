"""General utilities: files, locks, processes, text."""
