"""One case, measured in a fresh process with caches of its own."""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import IMPORTS, measure
from benchmarks.models import MODELS

ROOT = Path(__file__).parents[1]

SCHEMA = 1
"""Version of the JSON that a case writes; raised when a key changes its meaning."""


@dataclass(frozen=True)
class Case:
    """What is measured: a sampler on a model, with a seed, from cold or warm compilation caches."""

    model: str
    sampler: str
    seed: int
    cache: str
    chains: int
    cores: int
    tune: int
    draws: int

    @property
    def file_name(self) -> str:
        """Name of the result, one a case."""
        return f"{self.model}-{self.sampler}-{self.cache}-{self.seed}.json"

    @property
    def length(self) -> dict[str, int]:
        """Length of the run, as arguments of ``pm.sample``."""
        return {"chains": self.chains, "cores": self.cores, "tune": self.tune, "draws": self.draws}


def run_in_fresh_process(case: Case, caches: Path, output: Path, timeout: float) -> dict[str, Any]:
    """Run a case in a Python process of its own, write its JSON and return it.

    Parameters
    ----------
    case
        What to measure.
    caches
        Folder for what PyTensor, numba and JAX keep of a compilation: empty is cold.
    output
        Folder of the results.
    timeout
        Seconds after which the case counts as failed.

    Returns
    -------
    dict
        The result; its ``status`` is ``ok``, ``unsupported`` or ``failed``, with a ``message`` where not ok.
    """
    flags = [os.environ.get("PYTENSOR_FLAGS", ""), f"base_compiledir={caches / 'pytensor'}"]
    environment = {
        **process_environment(),
        "PYTENSOR_FLAGS": ",".join(filter(None, flags)),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    result = {
        **asdict(case),
        "schema": SCHEMA,
        "started": datetime.now(UTC).isoformat(),
        **surroundings(case),
    }
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "benchmarks.case", json.dumps(asdict(case)), str(figures)]
        try:
            done = run_with_workers(command, environment, timeout)
            failure = done.stderr[-4000:]
        except subprocess.TimeoutExpired:
            failure = f"not finished after {timeout:g} s"
        if figures.exists():
            result.update(json.loads(figures.read_text()))
        else:
            result.update(status="failed", message=failure)
    output.mkdir(parents=True, exist_ok=True)
    (output / case.file_name).write_text(json.dumps(result, indent=1) + "\n")
    return result


def run_with_workers(
    command: list[str], environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command as ``subprocess.run`` does, and end its own workers, such as PyMC's, with it."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=timeout)
    except BaseException:  # of Ctrl-C too, which does not reach another session
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def process_environment() -> dict[str, str]:
    """Return this process's environment variables, changed so that a new Python finds `benchmarks`."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def one_thread_environment() -> dict[str, str]:
    """Return `process_environment` for a process whose BLAS has one thread.

    Where each chain has a core of its own, more threads only wait for one another: on two cores nutpie's
    gradient of the latent Gaussian process takes three times as long with two.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**process_environment(), **one}


def surroundings(case: Case) -> dict[str, Any]:
    """Return versions of what takes part in a case, and the machine that it runs on."""
    versions = {"python": platform.python_version()}
    for package in ("pymc", "pytensor", "arviz", "numpy", "numba", "jax", IMPORTS[case.sampler]):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "source tree" if package == "pymc_rustmc" else "none"
    machine = {
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    return {"versions": versions, "machine": machine}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def figures_of(case: Case) -> dict[str, Any]:
    """Measure a case in this process; a model that the sampler says it cannot take is ``unsupported``."""
    try:
        return {"status": "ok", **measure(MODELS[case.model].build(), case.sampler, case.seed, case.length)}
    except Exception as error:
        unsupported = isinstance(error, NotImplementedError) or type(error).__name__ == "UnsupportedOpError"
        return {
            "status": "unsupported" if unsupported else "failed",
            "message": f"{type(error).__name__}: {error}",
        }


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(figures_of(Case(**json.loads(sys.argv[1])))))
