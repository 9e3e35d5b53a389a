"""What `scripts/benchmark.py` measures: ratios between two ways of the same work, side by side in one run."""
