"""Plain sequences: the next token, by the recurrence and the samplers of the detector."""
