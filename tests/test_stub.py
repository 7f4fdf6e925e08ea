"""The type stub of the extension names exactly what the extension has."""

import ast
import inspect
from pathlib import Path

import pytest

import pymc_rustmc
from pymc_rustmc import _core

STUB = ast.parse(Path(pymc_rustmc.__file__).with_name("_core.pyi").read_text())
CLASSES = {
    node.name: node for node in STUB.body if isinstance(node, ast.ClassDef) and hasattr(_core, node.name)
}
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}


def _public(names):
    return {name for name in names if not name.startswith("_") or name in ("__version__", "__len__")}


def test_names_of_the_module():
    declared = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)}
    declared |= set(CLASSES) | set(FUNCTIONS)
    assert declared == _public(vars(_core))


@pytest.mark.parametrize("name", CLASSES)
def test_members(name):
    functions = {node.name: node for node in CLASSES[name].body if isinstance(node, ast.FunctionDef)}
    actual = getattr(_core, name)
    assert _public(functions) == _public(vars(actual))
    for function in _public(functions) - {"__len__"}:
        node, member = functions[function], inspect.getattr_static(actual, function)
        is_property = [decorator.id for decorator in node.decorator_list] == ["property"]
        assert is_property == inspect.isgetsetdescriptor(member)
        if not is_property:
            arguments = [*node.args.args, *filter(None, [node.args.kwarg])]
            assert [argument.arg for argument in arguments] == list(inspect.signature(member).parameters)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_of_functions(name):
    declared = [argument.arg for argument in FUNCTIONS[name].args.args]
    assert declared == list(inspect.signature(getattr(_core, name)).parameters)
