"""The only bridge to Hydra: compose, check, run or sweep, and report errors."""
