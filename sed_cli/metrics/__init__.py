"""Events and activities to figures, and their statistics."""
