"""Compiled models in files: a zip archive of a JSON text and plain arrays, without anything that can be run.

``model.json`` holds names, dims and graphs, and refers to arrays by their number; ``arrays/0.npy``, ... hold
numbers, truth values, strings or times. Nothing is compressed, so nothing read is larger than the file.
What is read may come from anywhere: every part is checked, and the graphs go through the checks of the
builder in Rust.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pymc_rustmc._core import Graph, GraphError, __version__
from pymc_rustmc.arguments import checked_rewrites
from pymc_rustmc.description import (
    Arrays,
    Coords,
    DataInput,
    FreeVariable,
    ModelDescription,
    Observation,
    Shapes,
    Start,
    Variables,
)
from pymc_rustmc.errors import DataError, ModelFileError, SaveError
from pymc_rustmc.stored import StoredModel
from pymc_rustmc.template import BoundModel, Template, output_name, quoted

FORMAT = "pymc_rustmc compiled model"
VERSION = 1
"""Raised with every change that an older or newer reader would not understand."""

_MANIFEST = "model.json"
_ARRAY_KINDS = "fiubUSMm"
_NUMBER_KINDS = "fiub"

FilePath: TypeAlias = str | os.PathLike[str]


def save_model(bound: BoundModel, path: FilePath) -> None:
    """Write a bound model to a file; raises `SaveError` if it holds what no file can hold."""
    writer = _Writer()
    manifest = _saved(bound, writer)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writer.write(temporary, manifest)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def model_to_bytes(bound: BoundModel) -> bytes:
    """Return the content of the file that `save_model` writes."""
    writer, file = _Writer(), BytesIO()
    writer.write(file, _saved(bound, writer))
    return file.getvalue()


def fingerprint(bound: BoundModel) -> dict[str, str]:
    """Digest of each part of a bound model: the same in every process, another for another model."""
    digester = _Digester()
    parts = _manifest(bound, digester)
    return {key: digester.digest(json.dumps(part).encode()) for key, part in parts.items()}


def _saved(bound: BoundModel, writer: _Writer) -> dict[str, Any]:
    try:
        return _manifest(bound, writer)
    except GraphError as error:
        raise SaveError(f"the model cannot be saved: {error}") from None


def _manifest(bound: BoundModel, writer: _Writer | _Digester) -> dict[str, Any]:
    template = bound.template
    description = template.description
    start = template.source.start(bound.data)
    return {
        "format": FORMAT,
        "version": VERSION,
        "library": __version__,
        "variables": [
            {
                "name": variable.name,
                "dtype": str(variable.dtype),
                "value_name": variable.value_name,
                "value_dtype": str(variable.value_dtype),
                "transform": variable.transform,
                "jittered": variable.jittered,
                "start": writer.array(start.point[variable.value_name]),
            }
            for variable in description.variables.free
        ],
        "deterministics": _dtype_names(description.variables.deterministics),
        "data": {
            name: {
                "dtype": str(item.dtype),
                "ndim": item.ndim,
                "observed": item.observed,
                "dims": list(item.dims),
                "length_of": item.length_of,
                "value": writer.array(bound.data[name]),
            }
            for name, item in description.data.items()
        },
        "dims": {name: list(dims) for name, dims in description.dims.items()},
        "observations": {
            name: {
                "data": item.data,
                "dtype": str(item.dtype),
                "value": None if item.value is None else writer.array(item.value),
            }
            for name, item in description.observations.items()
        },
        "constants": dict(description.constants),
        "coords": {dim: writer.coord(dim, values) for dim, values in bound.coords.items()},
        "graph": writer.graph(template.graph),
        "inputs": list(template.inputs),
        "outputs": _dtype_names(template.outputs),
        "rewrites": dict(template.rewrites),
        "marginalised": list(template.marginalised),
        "start_graph": None if start.graph is None else writer.graph(start.graph),
    }


def _dtype_names(dtypes: Mapping[str, np.dtype[Any]]) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in dtypes.items()}


class _Writer:
    """Collects the arrays of a file."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []

    def array(self, values: NDArray[Any]) -> int:
        """Take an array up; its number in the file."""
        if isinstance(values, np.ma.MaskedArray):
            values = values.filled(np.nan)
        self._arrays.append(np.asarray(values))
        return len(self._arrays) - 1

    def coord(self, dim: str, values: NDArray[Any]) -> Any:
        """Take coordinate values up: an array, or a list of strings and numbers of several kinds."""
        if values.dtype.kind in _ARRAY_KINDS:
            return {"array": self.array(values)}
        items = values.tolist()
        if values.ndim == 1 and all(item is None or isinstance(item, str | int | float) for item in items):
            return {"items": items}
        times = pd.Index(values).to_numpy()
        if times.dtype.kind in _ARRAY_KINDS:
            return {"array": self.array(times)}
        kinds = sorted({type(item).__name__ for item in items})
        raise SaveError(
            f"the model cannot be saved: the coords of dim {dim!r} are of type {', '.join(kinds)}; "
            "give strings or numbers, as in compiled.bind(coords={...})"
        )

    def graph(self, graph: Graph) -> Any:
        """Take a graph up, in its stored form."""
        stored, arrays = graph.to_stored()
        return {"stored": json.loads(stored), "arrays": [self.array(array) for array in arrays]}

    def write(self, file: Path | BytesIO, manifest: Any) -> None:
        """Write everything."""
        text = json.dumps(manifest, allow_nan=False)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_MANIFEST, text)
            for index, array in enumerate(self._arrays):
                with archive.open(_array_name(index), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)


class _Digester:
    """Puts digests in the place of arrays."""

    @staticmethod
    def digest(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    def array(self, values: NDArray[Any]) -> str:
        if isinstance(values, np.ma.MaskedArray):
            values = values.filled(np.nan)
        values = np.asarray(values)
        return self.digest(f"{values.dtype} {values.shape} ".encode() + values.tobytes())

    def coord(self, dim: str, values: NDArray[Any]) -> str:
        return self.digest(json.dumps(np.asarray(values).tolist(), default=str).encode())

    def graph(self, graph: Graph) -> str:
        """Digest of a graph; one with foreign functions, which no file can hold, by its text."""
        try:
            stored, arrays = graph.to_stored()
        except GraphError:
            return self.digest(str(graph).encode())
        return self.digest("".join([stored, *map(self.array, arrays)]).encode())


def _array_name(index: int) -> str:
    return f"arrays/{index}.npy"


def read_model(path: FilePath) -> BoundModel:
    """Read what `save_model` wrote, and bind it to the data in the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is no such file, of another version, or damaged.
    """
    return _read(path, path, os.path.getsize(path))


def model_from_bytes(content: bytes) -> BoundModel:
    """Read what `model_to_bytes` gave; as `read_model`."""
    return _read(BytesIO(content), "(bytes)", len(content))


def _read(file: FilePath | BytesIO, path: FilePath, size: int) -> BoundModel:
    try:
        with zipfile.ZipFile(file) as archive:
            reader = _Reader(path, archive, size)
            template, data, coords, shapes = reader.template()
    except (zipfile.BadZipFile, NotImplementedError) as error:  # the latter of an archive of a later version
        raise ModelFileError(
            path, f"is no model that CompiledModel.save wrote, or it was cut off ({error})"
        ) from None
    try:
        return template.bind_to(data, coords, shapes)
    except (DataError, GraphError) as error:
        raise ModelFileError(path, f"holds a model that cannot be bound to its data: {error}") from None


class _Reader:
    """Reads an archive from anywhere; every error is a `ModelFileError` that says what is wrong."""

    def __init__(self, path: FilePath, archive: zipfile.ZipFile, size: int) -> None:
        self._path = path
        self._archive = archive
        self._size = size

    def template(self) -> tuple[Template, Arrays, Coords, Shapes]:
        """Template, with the data, coordinate values and shapes of the value variables in the file."""
        manifest = self._manifest()
        try:
            return self._template(manifest)
        except GraphError as error:
            raise self._damaged(f"its graph is not valid: {error}") from None

    def _manifest(self) -> dict[str, Any]:
        try:
            text = self._entry(_MANIFEST)
            manifest = json.loads(text)
        except (KeyError, ValueError, RecursionError) as error:
            raise ModelFileError(self._path, f"holds no readable {_MANIFEST}: {error}") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ModelFileError(self._path, "is no model that CompiledModel.save wrote")
        version = manifest.get("version")
        if version != VERSION:
            newer = isinstance(version, int) and version > VERSION
            remedy = (
                "update pymc_rustmc"
                if newer
                else "compile the PyMC model with this version of pymc_rustmc and save it again"
            )
            raise ModelFileError(
                self._path,
                f"has version {version!r} of the format; pymc_rustmc {__version__} reads version {VERSION}",
                remedy,
            )
        return manifest

    def _template(self, manifest: dict[str, Any]) -> tuple[Template, Arrays, Coords, Shapes]:
        get = _Fields(manifest, self._damaged)
        free, point = [], {}
        for entry in get.items("variables", dict):
            item = _Fields(entry, self._damaged)
            variable = FreeVariable(
                name=item.text("name"),
                dtype=self._dtype(item.text("dtype")),
                value_name=item.text("value_name"),
                value_dtype=self._dtype(item.text("value_dtype")),
                transform=item.optional("transform", str),
                jittered=item.of("jittered", bool),
            )
            free.append(variable)
            point[variable.value_name] = self._array(item.of("start", int), _NUMBER_KINDS)
        if len(point) < len(free) or not free:
            raise self._damaged("its value variables are not valid")

        inputs, data = {}, {}
        for name, entry in get.table("data", dict).items():
            item = _Fields(entry, self._damaged)
            inputs[name] = DataInput(
                dtype=self._dtype(item.text("dtype")),
                ndim=item.of("ndim", int),
                observed=item.of("observed", bool),
                dims=_names(item, "dims"),
                length_of=item.optional("length_of", str),
            )
            data[name] = self._array(item.of("value", int), _NUMBER_KINDS)
            if data[name].ndim != inputs[name].ndim or len(inputs[name].dims) > inputs[name].ndim:
                raise self._damaged(f"data {name!r} have another rank")

        observations = {}
        for name, entry in get.table("observations", dict).items():
            item = _Fields(entry, self._damaged)
            source, value = item.optional("data", str), item.optional("value", int)
            if (source is None) == (value is None) or (source is not None and source not in inputs):
                raise self._damaged(f"the observations of {name!r} are not there")
            observations[name] = Observation(
                source,
                self._dtype(item.text("dtype")),
                None if value is None else self._array(value, _NUMBER_KINDS),
            )
        dims = _Fields(get.of("dims", dict), self._damaged)
        description = ModelDescription(
            variables=Variables(tuple(free), self._dtypes(get.table("deterministics", str))),
            data=inputs,
            dims={name: _names(dims, name) for name in get.table("dims", list)},
            observations=observations,
            constants=get.table("constants", str),
        )
        coords = {dim: self._coord(dim, entry) for dim, entry in get.table("coords", dict).items()}
        for name in (*get.items("inputs", str), *description.constants.values()):
            if name not in inputs:
                raise self._damaged(f"the data {name!r} are not there")
        start_graph = get.optional("start_graph", dict)
        template = Template(
            description=description,
            graph=self._graph(get.of("graph", dict)),
            inputs=tuple(get.items("inputs", str)),
            outputs=self._dtypes(get.table("outputs", str)),
            source=StoredModel(
                description,
                data,
                coords,
                Start(None if start_graph is None else self._graph(start_graph), point),
            ),
            rewrites=self._rewrites(get.optional("rewrites", dict) or {}),
            marginalised=tuple(map(str, get.optional("marginalised", list) or ())),
        )
        self._check_names(template)
        return template, data, coords, {name: value.shape for name, value in point.items()}

    def _rewrites(self, switches: dict[str, Any]) -> dict[str, bool]:
        try:
            return checked_rewrites(switches)
        except (TypeError, ValueError) as error:
            raise self._damaged(str(error)) from None

    def _check_names(self, template: Template) -> None:
        """Check that the graph has the parameters, data and outputs that the description names."""
        found = template.graph.names()
        wanted = {
            "parameters": list(template.parameters),
            "data": sorted(template.inputs),
            "outputs": sorted(["logp", *map(output_name, template.outputs)]),
        }
        for kind, names in wanted.items():
            there = found[kind] if kind == "parameters" else sorted(found[kind])
            if there != names:
                raise self._damaged(f"its graph has the {kind} {quoted(there)}, not {quoted(names)}")
        transformed = {v.name for v in template.description.variables.free if v.transform is not None}
        known = transformed | set(template.description.variables.deterministics)
        if unknown := sorted(set(template.outputs) - known):
            raise self._damaged(f"its outputs {quoted(unknown)} are no variables")

    def _graph(self, entry: Any) -> Graph:
        item = _Fields(entry, self._damaged)
        arrays = [self._array(index, "f").astype(np.float64) for index in item.items("arrays", int)]
        return Graph.from_stored(json.dumps(item.of("stored", dict)), arrays)

    def _coord(self, dim: str, entry: Any) -> NDArray[Any]:
        item = _Fields(entry, self._damaged)
        if "array" in entry:
            values = self._array(item.of("array", int), _ARRAY_KINDS)
        else:
            items = item.items("items", str | int | float | None)
            values = np.empty(len(items), dtype=object)
            values[:] = items
        if values.ndim != 1:
            raise self._damaged(f"the coords of {dim!r} are no list")
        return values

    def _array(self, index: int, kinds: str) -> NDArray[Any]:
        name = _array_name(index)
        try:
            content = self._entry(name)
            file = BytesIO(content)
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"version {version}")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except (KeyError, ValueError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
            raise self._damaged(f"{name} is no array: {str(error).partition(chr(10))[0]}") from None
        count = 1
        for length in shape:
            count *= length
        start = file.tell()
        if dtype.kind not in kinds or dtype.hasobject or dtype.itemsize == 0:
            raise self._damaged(f"{name} holds elements of type {dtype}")
        if min(shape, default=0) < 0 or len(shape) > 32 or count * dtype.itemsize != len(content) - start:
            raise self._damaged(f"{name} does not hold {shape} elements")
        flat = np.frombuffer(content, dtype=dtype, offset=start, count=count)
        return flat.reshape(shape, order="F" if fortran else "C").copy()

    def _entry(self, name: str) -> bytes:
        """Content of an entry, which takes no more memory than the file takes on disk."""
        info = self._archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > self._size or info.flag_bits & 1:
            raise self._damaged(f"{name} is compressed, encrypted or larger than the file")
        try:
            return self._archive.read(info)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
            raise self._damaged(f"{name} cannot be read: {error}") from None

    def _dtypes(self, names: Mapping[str, str]) -> dict[str, np.dtype[Any]]:
        return {name: self._dtype(dtype) for name, dtype in names.items()}

    def _dtype(self, name: str) -> np.dtype[Any]:
        if name in _DTYPES:
            return np.dtype(name)
        raise self._damaged(f"{name!r} is no element type")

    def _damaged(self, what: str) -> ModelFileError:
        return ModelFileError(self._path, f"is damaged: {what}")


_DTYPES = {
    str(np.dtype(code)) for code in (*np.typecodes["Integer"], *np.typecodes["UnsignedInteger"], *"?efdg")
}


def _names(item: _Fields, key: str) -> tuple[str | None, ...]:
    return tuple(item.items(key, str | None))


class _Fields:
    """Fields of a JSON object, of the types that are asked for."""

    def __init__(self, fields: Any, error: Callable[[str], ModelFileError]) -> None:
        self._fields = fields
        self._error = error

    def of(self, key: str, kind: Any) -> Any:
        """Field of a type."""
        value = self._fields.get(key, self)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._error(f"{key!r} is missing or of a wrong type")
        return value

    def text(self, key: str) -> Any:
        """Field that is a string."""
        return self.of(key, str)

    def optional(self, key: str, kind: Any) -> Any:
        """Field of a type, or None."""
        return self.of(key, kind | None)

    def items(self, key: str, kind: Any) -> Any:
        """Field that is a list of items of a type."""
        items = self.of(key, list)
        if not all(isinstance(item, kind) for item in items):
            raise self._error(f"{key!r} holds items of a wrong type")
        return items

    def table(self, key: str, kind: Any) -> Any:
        """Field that is an object with values of a type."""
        items = self.of(key, dict)
        if not all(isinstance(item, kind) for item in items.values()):
            raise self._error(f"{key!r} holds items of a wrong type")
        return items
