"""The front ends, from waveforms to features: a class in a file each."""
