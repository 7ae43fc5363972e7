"""No compiled loop loses memory: those that do not count references make no arrays and are given no new ones."""

import ast
from pathlib import Path

import octad_data


def decorated() -> dict[str, tuple[str, ast.FunctionDef]]:
    """Every compiled function by its name: its decorator, and itself."""
    found = {}
    for file in Path(octad_data.__file__).parent.glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Name) and decorator.id in ("kernel", "allocating_kernel"):
                        found[f"{file.stem}.{node.name}"] = (decorator.id, node)
    return found


def gives_an_array(function: ast.FunctionDef) -> bool:
    return function.returns is None or "Array" in ast.unparse(function.returns)


def test_kernels_that_count_no_references_are_given_no_new_arrays() -> None:
    functions = decorated()
    makers = {name.partition(".")[2] for name, (_, node) in functions.items() if gives_an_array(node)}
    assert "new_table" in makers and len(functions) > 150
    for name, (decorator, node) in functions.items():
        if decorator == "allocating_kernel":
            continue
        assert not gives_an_array(node), f"{name} gives an array: make it an allocating_kernel"
        called = {
            call.func.id for call in ast.walk(node) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        }
        assert not called & makers, f"{name} is given arrays by {called & makers}: make it an allocating_kernel"
