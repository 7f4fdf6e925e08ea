"""Makes `benchmarks` importable; appended, so that the source tree does not shadow the installed package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
