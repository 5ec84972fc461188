"""The front ends, from waveforms to features: one class per file."""
