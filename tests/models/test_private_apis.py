"""Private APIs of other packages are used in one file each, beside a test that names them."""

import ast
from pathlib import Path

import torch

import raysweep

PACKAGE = Path(raysweep.__file__).parent
FENCES = {
    "training/device/tracing.py",
    "training/cost/dispatch.py",
    "models/layers/operations.py",
}


def private_uses(path: Path) -> list[str]:
    """Imports of private modules, and private attributes of anything but `self` and `cls`, with their lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        name = ""
        if isinstance(node, ast.ImportFrom) and any(part.startswith("_") for part in (node.module or "").split(".")):
            name = node.module or ""
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            name = "" if own else ast.unparse(node)
        if name:
            found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} uses {name}")
    return found


def test_private_apis_of_torch_stay_in_their_fences() -> None:
    files = [path for room in ("models", "training") for path in sorted((PACKAGE / room).rglob("*.py"))]
    uses = {str(path.relative_to(PACKAGE)): private_uses(path) for path in files}
    assert {name for name, found in uses.items() if found} == FENCES, "\n".join(
        line for name, found in uses.items() if name not in FENCES for line in found
    )


def test_a_backward_pass_can_ask_which_of_its_inputs_are_wanted() -> None:
    """torch._C._will_engine_execute_node, by which models/layers/operations.py leaves out gradients nobody reads."""
    asked = []

    class Ask(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, gradient):
            asked.append([torch._C._will_engine_execute_node(node) for node, _ in ctx.next_functions])
            return gradient, gradient

    a, b = (torch.ones(1, requires_grad=True) for _ in range(2))
    Ask.apply(a * 2, b * 3).backward(inputs=[a])
    assert asked == [[True, False]]
