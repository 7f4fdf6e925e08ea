"""Times `pm.sample` of rustmc and of its rivals on the reference models: `python -m benchmarks --help`."""
