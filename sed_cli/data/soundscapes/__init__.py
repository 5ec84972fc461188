"""Soundscapes: synthetic, the default data, or from a bank of real events.

The steps of a recording: an event source provides isolated events (:mod:`.sources`, synthesised
by :mod:`.voices`, or :mod:`.bank_events`, found in the clips of a :mod:`.bank`), a first-order
syntax arranges them in chains and in time (:mod:`.scenes`), mixing adds a coloured background
at given signal-to-noise ratios (:mod:`.mixing`), and writing produces files, annotations and a
:mod:`.recipe` (:mod:`.writing`).

Nothing here imports torch, so that worker processes start fast.
"""
