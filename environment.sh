# The set-up that ./run and ./test share: finds Python and Rust, builds the wheel once, installs it in .venvs/<version>.
# To be sourced by sh from the repository root. Every failure ends with one line that says what to install.

TESTED_PYTHONS="3.13 3.12 3.11"
# The source tree must not shadow the installed wheel, nor must packages of the caller's environment.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PYTHONSAFEPATH=1 PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

note() {
    printf '==> %s\n' "$*"
}

# Prints the path of a Python $1 (such as 3.12) that can make environments; fails if there is none.
find_python() {
    for candidate in "python$1" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$1".*/bin/python python3 python; do
        if "$candidate" -c "import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" \
            </dev/null >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Prints the supported versions found here, newest first; one that no test has run on only if it is alone.
found_pythons() {
    found=""
    for version in $TESTED_PYTHONS; do
        if find_python "$version" >/dev/null; then found="$found $version"; fi
    done
    if [ -z "$found" ] && find_python 3.14 >/dev/null; then found=" 3.14"; fi
    printf '%s\n' "${found# }"
}

# Prints the newest supported version found here; ends with what to install if there is none.
newest_python() {
    found=$(found_pythons)
    [ -n "$found" ] || fail "no Python 3.11 to 3.14 with the modules venv and ensurepip was found:" \
        "install one (https://www.python.org/downloads/; Debian and Ubuntu also need: apt install python3-venv)"
    printf '%s\n' "${found%% *}"
}

# Ends with what to install unless a Rust toolchain as new as Cargo.toml asks for is there.
require_rust() {
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    PATH="$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin"
    if ! cargo --version >/dev/null 2>&1 || ! found=$(rustc --version 2>/dev/null); then
        fail "no working Rust toolchain was found: install Rust $needed or newer (https://rustup.rs)"
    fi
    found=${found#rustc }
    found=${found%% *}
    minor=${found#*.}
    if [ "${found%%.*}" -lt "${needed%%.*}" ] || { [ "${found%%.*}" -eq "${needed%%.*}" ] &&
        [ "${minor%%.*}" -lt "${needed#*.}" ]; }; then
        fail "Rust $found is too old: install Rust $needed or newer (rustup update stable)"
    fi
}

# Prints a digest of the files and folders named; compiled files are left out.
digest() {
    "$python" - "$@" <<'PYTHON'
import hashlib, pathlib, sys

total = hashlib.sha256()
for root in map(pathlib.Path, sys.argv[1:]):
    for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if path.is_file() and path.suffix not in {".so", ".pyd", ".pyc"}:
            total.update(f"{path}\0{path.stat().st_size}\0".encode() + path.read_bytes())
print(total.hexdigest())
PYTHON
}

# Makes .venvs/$1 hold the wheel and the extras named after it; sets $python to its interpreter. Quick when nothing changed.
prepare() {
    version=$1
    shift
    environment="$PWD/.venvs/$version"
    python="$environment/bin/python"
    if ! "$python" -c "" 2>/dev/null; then
        base=$(find_python "$version") || fail "Python $version with the modules venv and ensurepip was not found: install it"
        note "creating .venvs/$version from $base"
        "$base" -m venv --clear "$environment"
    fi
    build_wheel
    install_wheel "$@"
}

# Builds .venvs/wheel/*.whl with maturin, one wheel for every Python, if a file that goes into it has changed.
build_wheel() {
    sources=$(digest Cargo.toml Cargo.lock pyproject.toml README.md LICENSE src pymc_rustmc)
    if [ "$sources" = "$(cat .venvs/wheel.digest 2>/dev/null)" ]; then return; fi
    require_rust
    note "building the wheel"
    "$python" -m pip install --quiet "$("$python" -c \
        'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"][0])')" ||
        fail "maturin could not be installed: see pip's message above"
    rm -rf .venvs/wheel
    "$python" -m maturin build --release --locked --quiet --interpreter "$python" --out .venvs/wheel ||
        fail "the wheel could not be built: see the message above"
    # `python -m benchmarks` imports the package from the source tree, which needs the compiled part too.
    "$python" -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract("pymc_rustmc/_core.abi3.so")' .venvs/wheel/*.whl
    printf '%s\n' "$sources" >.venvs/wheel.digest
}

# Installs the wheel in the environment if it is another than the one there, and each extra that was not yet installed.
install_wheel() {
    if [ "$sources" != "$(cat "$environment/wheel.digest" 2>/dev/null)" ]; then
        note "installing the wheel in .venvs/$version"
        "$python" -m pip install --quiet .venvs/wheel/*.whl &&
            "$python" -m pip install --quiet --force-reinstall --no-deps .venvs/wheel/*.whl ||
            fail "the wheel could not be installed: see pip's message above"
        printf '%s\n' "$sources" >"$environment/wheel.digest"
    fi
    requirements=$(digest pyproject.toml)
    for extra in "$@"; do
        if [ "$requirements" = "$(cat "$environment/$extra.digest" 2>/dev/null)" ]; then continue; fi
        note "installing what [$extra] names in .venvs/$version"
        for wheel in .venvs/wheel/*.whl; do
            "$python" -m pip install --quiet "$wheel[$extra]" || fail "[$extra] could not be installed: see pip's message above"
        done
        printf '%s\n' "$requirements" >"$environment/$extra.digest"
    done
}
