"""The scripts that the documentation points to run and print what they promise."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_eight_schools_prints_summary_and_times():
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "eight_schools.py")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {"mu", "tau", "theta[A]", "theta[H]"} <= {line.split()[0] for line in lines if line.split()}
    times = {line[:36].strip(): float(line.split()[-2]) for line in lines if line.endswith(" ms")}
    assert list(times) == [
        "translation of the model to Rust",
        "warm-up, longest chain",
        "sampling, longest chain",
        "pm.sample as a whole",
    ]
    assert all(seconds > 0 for seconds in times.values())
    assert times["pm.sample as a whole"] > times["sampling, longest chain"]
