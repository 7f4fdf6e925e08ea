"""The commands answer a missing or too old Python or Rust with one line that says what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands are sh scripts")


@pytest.fixture
def machine(tmp_path):
    """Return a stand-in for a machine: the commands in a fresh clone, and a PATH without Python and Rust."""
    clone, tools = tmp_path / "clone", tmp_path / "bin"
    clone.mkdir()
    tools.mkdir()
    for name in ("run", "test", "environment.sh", "Cargo.toml"):
        shutil.copy(ROOT / name, clone)
    for name in ("sh", "dirname", "sed", "cat"):
        (tools / name).symlink_to(shutil.which(name))
    return tmp_path


def install(machine, name, script):
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def install_python(machine):
    install(machine, "python3", f'exec {sys.executable} "$@"')


def answer(machine, *command):
    """Run a command of the clone; return its exit status and what it wrote to stderr."""
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)}
    done = subprocess.run(
        command, cwd=machine / "clone", env=environment, text=True, capture_output=True, timeout=60
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", ["./run", "./test"])
def test_no_python(machine, command):
    status, line = answer(machine, command)
    assert status == 1
    assert line.startswith(f"{command[2:]}: no Python 3.11 to 3.14")
    assert "install one" in line
    assert line.count("\n") == 1


def test_too_old_python_is_as_good_as_none(machine):
    install(
        machine,
        "python3",
        f'exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 9); exec(sys.argv[2])" "$@"',
    )
    status, line = answer(machine, "./run")
    assert status == 1
    assert "no Python 3.11 to 3.14" in line


def test_python_that_is_not_there(machine):
    install_python(machine)
    install(machine, "cargo", "echo cargo 1.99.0")
    install(machine, "rustc", "echo 'rustc 1.99.0 (0000000 2030-01-01)'")
    status, line = answer(machine, "./run", "--python", "3.7")
    assert status == 1
    assert line == "run: Python 3.7 with the modules venv and ensurepip was not found: install it\n"


@pytest.mark.parametrize("command", ["./run", "./test"])
def test_no_rust(machine, command):
    install_python(machine)
    status, line = answer(machine, command)
    assert status == 1
    assert "no working Rust toolchain was found: install Rust 1." in line
    assert "https://rustup.rs" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("version", ["1.70.0", "0.99.0", "1.8.0-nightly"])
def test_too_old_rust(machine, version):
    install_python(machine)
    install(machine, "cargo", "echo cargo")
    install(machine, "rustc", f"echo 'rustc {version} (0000000 2023-01-01)'")
    status, line = answer(machine, "./run")
    assert status == 1
    assert line.startswith(f"run: Rust {version} is too old: install Rust 1.")
    assert line.count("\n") == 1


def test_unknown_option(machine):
    status, line = answer(machine, "./run", "--fast")
    assert status == 1
    assert line == "run: unknown option --fast (known: --python VERSION)\n"
