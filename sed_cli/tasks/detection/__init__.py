"""Sound event detection: which sounds are active in a recording, and when."""
