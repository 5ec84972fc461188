"""Tasks: the model, its data and its scores; one package per task."""
