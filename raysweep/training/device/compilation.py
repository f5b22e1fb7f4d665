"""A training step, loss and gradients of the weights, as one compiled function that serves batches of all sizes.

Conservative forces are a gradient, so the gradients of the weights are second derivatives, which torch.compile cannot
take through compiled code. Here the whole step is traced with its backward passes, as one graph of operations in which
the numbers of structures, atoms and edges stay symbolic, and torch's inductor compiles that graph (as nequip does for
its energies and forces, arXiv 2504.16068).
"""

import os
import platform
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import nn

from raysweep.core.errors import SpaceError
from raysweep.data.graphs.batches import Batch
from raysweep.models.registry import architecture
from raysweep.training.device.tracing import Tracer, replaced
from raysweep.training.objective import Objective, differentiate

Loss = Callable[[Objective, Batch], torch.Tensor]
"""A forward pass of the network and its loss."""

STEPS_PER_PROGRAM = 64
MAX_PROGRAMS = 4
"""Batches that take the plain step before another program is compiled for them, and the maximum number of programs."""
TOLERANCE, NEGLIGIBLE = 0.1, 1e-3
"""Allowed relative deviation between a program's gradients and the plain step's, bf16's rounding included; and
the size, relative to the largest gradient, below which gradients are not compared."""


def check_compiles(name: str) -> None:
    """Refuse an architecture whose steps cannot be compiled."""
    if not architecture(name).network.compiles:
        raise SpaceError(
            f"architecture {name!r} does not support compile: true (see its `compiles`). Leave out compile, or that "
            "family."
        )


def check_compiler(device: torch.device) -> None:
    """Refuse to compile where the compiler that the device's code needs is missing.

    On a CPU that is a C++ compiler; on a GPU triton compiles the kernels, and C code that launches them.
    """
    variable, usual = ("CC", ("gcc", "clang")) if device.type == "cuda" else ("CXX", ("g++",))
    wanted = [os.environ[variable]] if variable in os.environ else usual
    if not any(shutil.which(shlex.split(name)[0]) for name in wanted if name.strip()):
        raise SpaceError(
            f"training.compile: true needs a compiler on every machine that trains, and {platform.node()} has no "
            f"{' or '.join(wanted)}. Install one (apt-get install g++), name another in the environment variable "
            f"{variable}, or leave out compile."
        )


def plain_step(loss: Loss, weights: Sequence[nn.Parameter], objective: Objective, batch: Batch) -> torch.Tensor:
    """Compute the loss of a batch, and leave its gradient in the weights' `grad`."""
    value = loss(objective, batch)
    differentiate(value, weights)
    return value.detach()


@dataclass(frozen=True)
class _Program:
    """A compiled step.

    Attributes:
        run: takes the sizes that are symbols, weights, buffers, and the tensors of objective and batch; returns the
            loss and gradients.
        inputs: names of the tensors of a batch.
        symbols: which of structures, atoms and edges are symbols.
        trained: the weights that the loss depends on.
        holds: whether the program is valid for given numbers of structures, atoms and edges.
    """

    run: Callable[..., Sequence[torch.Tensor]]
    inputs: tuple[str, ...]
    symbols: list[int]
    trained: Sequence[nn.Parameter]
    holds: Callable[[Sequence[int]], bool]


class CompiledStep:
    """`plain_step`, compiled at the first batch for batches of all sizes.

    torch specialises on some properties of sizes: that a size other than 0 and 1 never takes these values, that small
    products stay small. Batches that lack them, such as a single structure at the end of an epoch, take
    `plain_step`; if there are many, another program is compiled.

    Attributes:
        plain_steps: batches that took `plain_step`.
    """

    def __init__(self, model: nn.Module, loss: Loss, weights: Sequence[nn.Parameter]) -> None:
        self._model, self._loss, self._weights = model, loss, list(weights)
        self._programs: list[_Program] = []
        self.plain_steps = 0

    @property
    def compilations(self) -> int:
        """Programs compiled so far."""
        return len(self._programs)

    def prepare(self, objective: Objective, batch: Batch) -> None:
        """Compile if a program is due, which takes seconds to minutes.

        Raises:
            SpaceError: the network cannot be compiled, or not for all sizes of batches, or the compiled step's
                gradients differ from the plain one's.
        """
        due = self.plain_steps >= STEPS_PER_PROGRAM * self.compilations and self.compilations < MAX_PROGRAMS
        if due and self._program_of(batch) is None:
            program = self._compile(objective, batch)
            self._compare(program, objective, batch)
            self._programs.append(program)

    def __call__(self, objective: Objective, batch: Batch) -> torch.Tensor:
        """Compute the loss of a batch, and leave its gradient in the weights' `grad`."""
        program = self._program_of(batch)
        if program is None:
            self.plain_steps += 1
            return plain_step(self._loss, self._weights, objective, batch)
        loss, *gradients = self._run(program, objective, batch)
        for weight, gradient in zip(program.trained, gradients, strict=True):
            weight.grad = gradient
        return loss

    def _run(self, program: _Program, objective: Objective, batch: Batch) -> list[torch.Tensor]:
        sizes = _sizes(batch)
        inputs = [*self._fixed(objective), *_tensors(batch).values()]
        with torch.no_grad():
            return list(program.run(*(sizes[i] for i in program.symbols), *inputs))

    def _compare(self, program: _Program, objective: Objective, batch: Batch) -> None:
        """Refuse a program whose loss or gradients differ from those of the plain step.

        torch's compiler can be silently wrong: it is with ViSNet's conservative forces (torch 2.13).
        """
        ours = self._run(program, objective, batch)
        loss = plain_step(self._loss, self._weights, objective, batch)
        plain = [loss.detach(), *(weight.grad for weight in program.trained)]
        for weight in self._weights:
            weight.grad = None
        names = {id(weight): name for name, weight in self._model.named_parameters()}
        of = ["the loss", *(f"the gradient of {names[id(weight)]}" for weight in program.trained)]
        largest = max(float(x.abs().max()) for x in plain[1:] if x is not None)
        for name, x, y in zip(of, ours, plain, strict=True):
            assert y is not None, f"no plain gradient: {name}"
            away, size = float((x - y).abs().max()), max(float(y.abs().max()), NEGLIGIBLE * largest, 1e-30)
            if not away <= TOLERANCE * size:
                raise SpaceError(
                    f"training.compile: true: the compiled step of {type(self._model).__name__} is wrong: {name} is "
                    f"{away / size:.0%} away from the plain step's. Either the network draws random numbers, or "
                    "torch's compiler errs. Leave out compile."
                )

    def _program_of(self, batch: Batch) -> _Program | None:
        inputs, sizes = tuple(_tensors(batch)), _sizes(batch)
        return next((of for of in self._programs if of.inputs == inputs and of.holds(sizes)), None)

    def _fixed(self, objective: Objective) -> list[torch.Tensor]:
        """The inputs whose shapes never change."""
        return [*self._weights, *self._constants(), *_tensors(objective).values()]

    def _constants(self) -> list[torch.Tensor]:
        """The tensors of the network that are not trained."""
        return [*(weight for weight in self._model.parameters() if not weight.requires_grad), *self._model.buffers()]

    def _compile(self, objective: Objective, batch: Batch) -> _Program:
        tensors = _tensors(batch)
        tracer = Tracer(self._fixed(objective), tensors, sized_by=("n_atoms", "numbers", "senders"))
        try:
            graph, trained = self._trace(tracer, objective, batch)
            self._refuse_constants(tracer)
            run = tracer.compile(graph)
        except (torch.OutOfMemoryError, SpaceError):
            raise
        except Exception as error:  # from torch's tracer, inductor or what they run: they share no base class
            lines = str(error).strip().splitlines() or [""]
            said = next((line for line in lines if "error:" in line), lines[0])
            raise SpaceError(
                f"training.compile: true: the step of {type(self._model).__name__} could not be compiled "
                f"({type(error).__name__}: {said.strip()}). Leave out compile."
            ) from error
        return _Program(run, tuple(tensors), tracer.symbols, trained, tracer.guard())

    def _trace(
        self, tracer: Tracer, objective: Objective, batch: Batch
    ) -> tuple[torch.fx.GraphModule, list[nn.Parameter]]:
        """Trace the step; also the weights whose gradients it returns after the loss."""
        slots = [*self._weights, *self._constants()]
        of_objective, of_batch = list(_tensors(objective)), list(_tensors(batch))
        trained: list[nn.Parameter] = []

        def step(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            weights = [tensor.detach().requires_grad_() for tensor in tensors[: len(self._weights)]]
            within, rest = tensors[len(weights) : len(slots)], tensors[len(slots) :]
            goal = replace(objective, **dict(zip(of_objective, rest, strict=False)))  # type: ignore[arg-type]
            seen = replace(batch, **dict(zip(of_batch, rest[len(of_objective) :], strict=True)))
            with torch.enable_grad(), replaced(self._model, slots, [*weights, *within]):
                loss = self._loss(goal, seen)
                gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            found = [(w, g) for w, g in zip(self._weights, gradients, strict=True) if g is not None]
            trained[:] = [weight for weight, _ in found]
            return [loss.detach(), *(gradient.contiguous() for _, gradient in found)]

        return tracer.trace(step), trained

    def _refuse_constants(self, tracer: Tracer) -> None:
        """Refuse a network that fixes a symbolic size to a number."""
        for i in tracer.constants():
            of = ("structures", "atoms", "edges")[i]
            raise SpaceError(
                f"training.compile: true: {type(self._model).__name__} treats the number of {of} in a batch as a "
                "constant, so every batch would have to be compiled. Write x.shape[0] instead of len(x) for tensors, "
                "or leave out compile."
            )


def _sizes(batch: Batch) -> tuple[int, int, int]:
    return len(batch.n_atoms), len(batch.numbers), len(batch.senders)


def _tensors(values: Batch | Objective) -> dict[str, torch.Tensor]:
    """The fields that are tensors."""
    found = {field.name: getattr(values, field.name) for field in fields(values)}
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
