"""Saved models: the same numbers and results without the PyMC model; bad files are refused, never run."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from pytensor import shared
from test_compiled import RUN, assert_same_groups, random_point, regression

from pymc_rustmc import CompiledModel, compile_model, load_model
from pymc_rustmc.errors import DataError, ModelFileError, SaveError
from pymc_rustmc.storage import VERSION


@pytest.fixture(scope="module")
def model():
    return regression()


@pytest.fixture(scope="module")
def compiled(model):
    return compile_model(model)


@pytest.fixture(scope="module")
def file(compiled, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "model.rustmc"
    compiled.save(path)
    return path


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def rewrite(file, path, change):
    """A copy of a file with a changed manifest."""
    contents = entries(file)
    manifest = json.loads(contents["model.json"])
    change(manifest)
    return write(path, {**contents, "model.json": json.dumps(manifest)})


def test_the_same_numbers(model, compiled, file):
    loaded, point = load_model(file), random_point(model)
    (logp, gradient), (wanted, wanted_gradient) = loaded.logp_dlogp(point), compiled.logp_dlogp(point)
    assert logp == wanted
    for name, value in wanted_gradient.items():
        np.testing.assert_array_equal(gradient[name], value)


def test_the_same_results(compiled, file):
    ours, reference = load_model(file).sample(**RUN), compiled.sample(**RUN)
    assert_same_groups(ours, reference)
    for group in ("posterior", "sample_stats"):
        assert set(ours[group].attrs) == set(reference[group].attrs)


def test_the_same_starting_point(model, file):
    """PyMC's, computed from the data by the graph in the file."""
    loaded, initial = load_model(file), model.initial_point()
    (function,) = loaded._bound.template.source.start_functions(loaded.data, None, 1, jitter=False)
    assert list(function(1)) == list(initial)
    for name, value in function(1).items():
        np.testing.assert_allclose(value, initial[name], rtol=1e-14, atol=1e-15)
    (function,) = loaded._bound.template.source.start_functions(loaded.data, None, 1, jitter=True)
    distance = function(1)["alpha"] - initial["alpha"]
    assert (distance != 0).all()
    assert (abs(distance) < 1).all()
    np.testing.assert_array_equal(function(1)["alpha"], function(1)["alpha"])


def test_other_data_and_lengths(compiled, file):
    rng = np.random.default_rng(3)
    data = {"x": rng.normal(size=5), "group_index": np.arange(5), "y_data": rng.normal(size=5)}
    coords = {"group": list("vwxyz"), "site": ["n", "s", "w"]}
    bound = load_model(file).bind(data, coords=coords)
    assert bound.shapes == compiled.bind(data, coords=coords).shapes
    assert_same_groups(bound.sample(**RUN), compiled.bind(data, coords=coords).sample(**RUN))


def test_a_loaded_model_can_be_saved(file, tmp_path):
    load_model(file).bind({"x": np.zeros(8)}).save(tmp_path / "again")
    again = CompiledModel.load(tmp_path / "again")
    np.testing.assert_array_equal(again.data["x"], np.zeros(8))
    assert again.bind(coords={"site": range(7)}).shapes["bias"] == (7,)


def test_another_process_without_the_model(file):
    code = (
        "import sys, json, numpy as np, pymc_rustmc\n"
        "compiled = pymc_rustmc.load_model(sys.argv[1])\n"
        "logp, _ = compiled.logp_dlogp({n: np.zeros(s) for n, s in compiled.shapes.items()})\n"
        "print(json.dumps(logp))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = load_model(file)
    wanted, _ = loaded.logp_dlogp({name: np.zeros(shape) for name, shape in loaded.shapes.items()})
    assert json.loads(done.stdout) == wanted


def test_starting_points(file):
    loaded = load_model(file)
    with pytest.raises(
        ValueError, match=r"names 'sigma', but a model from a file takes value var.*'sigma_log__'"
    ):
        loaded.sample(initvals={"sigma": 1.0}, **RUN)
    with pytest.raises(ValueError, match=r"'alpha' the shape \(2,\), but the model needs \(3,\)"):
        loaded.sample(initvals={"alpha": np.zeros(2)}, **RUN)
    with pytest.raises(ValueError, match=r"Number of initval dicts \(3\)"):
        loaded.sample(initvals=[{}, {}, {}], **RUN)
    with pytest.raises(pm.exceptions.SamplingError, match=r"(?s)not finite.*'sigma_log__': .*initvals"):
        loaded.sample(initvals={"sigma_log__": np.inf}, **RUN)
    with pytest.raises(ValueError, match="need the PyMC model"):
        loaded.sample(idata_kwargs={"log_likelihood": True}, **RUN)


def test_data_of_all_kinds(tmp_path):
    """Imputed, constant, integer and unnamed data; coords of several types; names that are no identifiers."""
    times = pd.date_range("2020-01-01", periods=3)
    with pm.Model(coords={"day": times, "kind": ["a", 1, 2.5]}) as model:
        pm.Data("small", np.arange(3, dtype="int8"), dims="day")
        factor = shared(np.array(2.0))
        a = pm.Normal("a b-c", 0, factor, dims="day")
        b = pm.Normal("b", initval="prior", dims="kind")
        pm.Deterministic("n", (b > 0).sum())
        pm.Normal("y", a.sum(), 1, observed=np.ma.masked_invalid([1.0, np.nan, 2.0]))
        pm.Poisson("k", pm.math.exp(b), observed=np.array([1, 0, 3]), dims="kind")
    compiled = compile_model(model)
    compiled.save(tmp_path / "file")
    ours, reference = load_model(tmp_path / "file").sample(**RUN), compiled.sample(**RUN)
    assert_same_groups(ours, reference)
    assert ours.posterior["n"].dtype == np.int64
    with pytest.raises(DataError, match=r"length of dim 'kind'.* cannot change its length: .*prior"):
        load_model(tmp_path / "file").bind(coords={"kind": range(4)})


def test_coords_that_no_file_holds(tmp_path):
    with pm.Model(coords={"pair": [frozenset("ab"), frozenset("cd")]}) as model:
        pm.Normal("a", dims="pair")
    with pytest.raises(SaveError, match="'pair' are of type frozenset; give strings"):
        compile_model(model).save(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(compiled, file, tmp_path, monkeypatch):
    path = tmp_path / "file"
    compiled.save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="disk full"):
        compiled.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(VERSION + 1, "update pymc_rustmc"), (VERSION - 1, "save it again"), ("1", "again")],
)
def test_other_versions(file, tmp_path, version, remedy):
    path = rewrite(file, tmp_path / "other", lambda manifest: manifest.update(version=version))
    with pytest.raises(ModelFileError, match=f"other' has version {version!r} of the format.*{remedy}"):
        load_model(path)


def npy(array, **kwargs):
    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


class Bomb:
    """Would make a directory when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("run",)


def npy_header(shape, dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


BAD_ARRAYS = {
    "pickled objects": npy(np.array([Bomb()], dtype=object), allow_pickle=True),
    "a pickle": pickle.dumps(Bomb()),
    "a huge shape": npy_header((10**12,)) + bytes(8),
    "an overflowing shape": npy_header((2**40, 2**40, 0, 2**62)) + bytes(8),
    "a negative length": npy_header((-1,)) + bytes(8),
    "a text": npy(np.array("text")),
    "complex numbers": npy(np.array(1j)),
    "records": npy(np.zeros(1, dtype=[("a", "f8")])),
    "nothing": b"",
    "a header of code": b"\x93NUMPY\x01\x00\x30\x00" + b"__import__('os').mkdir('run')".ljust(48),
    "a deep header": b"\x93NUMPY\x01\x00\x60\xea" + b"(" * 60000,
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(file, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "bad", {**entries(file), "arrays/1.npy": BAD_ARRAYS[name]})
    with pytest.raises(ModelFileError, match=r"bad' is damaged: arrays/1.npy .*save the model again"):
        load_model(path)
    assert not (tmp_path / "run").exists()


def test_a_missing_array(file, tmp_path):
    contents = entries(file)
    del contents["arrays/0.npy"]
    with pytest.raises(ModelFileError, match=r"arrays/0\.npy is no array"):
        load_model(write(tmp_path / "bad", contents))


def test_compressed_entries_are_refused(file, tmp_path):
    contents = {**entries(file), "arrays/0.npy": npy_header((10**7,)) + bytes(8 * 10**7)}
    with pytest.raises(ModelFileError, match="compressed"):
        load_model(write(tmp_path / "bad", contents, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("content", [b"", b"PK", b"text", b"PK\x05\x06" + bytes(18)])
def test_no_archive(tmp_path, content):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ModelFileError, match="bad'"):
        load_model(tmp_path / "bad")


def test_a_truncated_or_damaged_file(file, tmp_path):
    content, path = file.read_bytes(), tmp_path / "bad"
    rng = np.random.default_rng(1)
    for cut in rng.integers(len(content), size=20):
        path.write_bytes(content[:cut])
        with pytest.raises(ModelFileError, match="bad'"):
            load_model(path)
    for position, byte in zip(
        rng.integers(len(content), size=200), rng.integers(1, 256, size=200), strict=True
    ):
        damaged = bytearray(content)
        damaged[position] ^= byte
        path.write_bytes(damaged)
        try:
            load_model(path)  # what the change hit may be of no importance, such as a time stamp
        except ModelFileError as error:
            assert "bad'" in str(error)  # noqa: PT017


def test_an_archive_of_a_later_version(file, tmp_path):
    damaged, path = bytearray(file.read_bytes()), tmp_path / "later"
    damaged[damaged.index(b"PK\x01\x02") + 6] = 94
    path.write_bytes(damaged)
    with pytest.raises(ModelFileError, match=r"later'.*version 9.4"):
        load_model(path)


def test_a_manifest_with_anything_in_it(file, tmp_path):
    """Every value of the manifest in turn is replaced by others, or left out."""
    contents = entries(file)
    manifest = json.loads(contents["model.json"])
    manifest["graph"]["stored"] = {"nodes": [], "outputs": []}  # the graph is fuzzed in Rust
    values = [None, -1, 10**30, "text", [], {}, True, [[]], {"array": 0}]
    rng = np.random.default_rng(2)

    def places(value):
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield value, key
                yield from places(value[key])

    for holder, key in list(places(manifest)):
        kept = holder[key]
        holder[key] = values[rng.integers(len(values))]
        write(tmp_path / "bad", {**contents, "model.json": json.dumps(manifest)})
        with pytest.raises(ModelFileError):
            load_model(tmp_path / "bad")
        holder[key] = kept


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "\xff", '{"a": 1}', "[]", "1"])
def test_no_manifest(tmp_path, text):
    with pytest.raises(ModelFileError, match=r"bad' (holds no readable model.json|is no model)"):
        load_model(write(tmp_path / "bad", {"model.json": text.encode("latin-1")}))


def test_a_graph_that_asks_for_too_much_memory(file, tmp_path):
    def change(manifest):
        nodes = manifest["graph"]["stored"]["nodes"]
        lengths = [len(nodes), len(nodes), len(nodes)]
        nodes.append(
            {
                "op": {"op": "constant", "shape": [], "values": [2.0**40]},
                "inputs": [],
                "dtype": "int64",
                "ndim": 0,
            }
        )
        nodes.append({"op": {"op": "eye"}, "inputs": lengths, "dtype": "float64", "ndim": 2})

    with pytest.raises(ModelFileError, match=r"room for .*save the model again"):
        load_model(rewrite(file, tmp_path / "bad", change))
