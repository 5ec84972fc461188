"""Tasks: what is learnt, from which data, and how it is scored; a package each."""
