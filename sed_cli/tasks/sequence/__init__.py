"""Sequences of symbols: predict the next token, with the detector's recurrence and samplers."""
