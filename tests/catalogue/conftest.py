"""Makes PyTensor's oracle, which the tests of the translation have, importable here."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "translate"))
