"""Random numbers that depend on seed and step alone, and isolation of global state between trials.

A network may draw from torch's, NumPy's and Python's global generators, or from generators of its own. They are set
before each step, so the numbers do not depend on what the process ran before, on evaluations, or on a resume.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import numpy as np
import torch
from torch import nn

STEP, EVALUATION, COST = 1, 2, 3
"""Random streams, so that no two uses of a seed draw the same numbers."""

Generator = torch.Generator | np.random.Generator | random.Random


def reseed(*key: int, own: Sequence[Generator] = ()) -> None:
    """Seed every generator that a network may draw from, by the key alone.

    Args:
        key: non-negative numbers.
        own: generators that belong to the network; torch's, NumPy's and Python's global ones are always set.
    """
    seeds = np.random.SeedSequence(key).generate_state(3 + len(own), np.uint64).tolist()
    seed_torch(seeds[0])
    np.random.seed(seeds[1] % 2**32)  # noqa: NPY002 - it is the global generator that is meant
    random.seed(seeds[2])
    for generator, seed in zip(own, seeds[3:], strict=True):
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
        elif isinstance(generator, random.Random):
            generator.seed(seed)
        else:
            generator.bit_generator.state = type(generator.bit_generator)(seed).state


def seed_torch(seed: int) -> None:
    """Seed torch's global generators, those of all GPUs included."""
    # Not torch.manual_seed: without a GPU it queues calls, with stack traces, for when there is one.
    torch.default_generator.manual_seed(seed)
    for generator in _gpu_generators():
        generator.manual_seed(seed)


def _gpu_generators() -> tuple[torch.Generator, ...]:
    """The GPUs' global generators; none before a GPU is first used."""
    return torch.cuda.default_generators if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]


def generators_of(model: nn.Module) -> list[Generator]:
    """The generators that a network's modules hold as attributes, each once."""
    attributes = (value for module in model.modules() for value in vars(module).values())
    found = [value for value in attributes if isinstance(value, torch.Generator | np.random.Generator | random.Random)]
    return list({id(generator): generator for generator in found}.values())


_SETTINGS: tuple[tuple[Callable[[], object], Callable[..., object]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)),
    (lambda: torch.is_autocast_enabled("cuda"), lambda on: torch.set_autocast_enabled("cuda", on)),
    (np.geterr, lambda of: np.seterr(**of)),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    *(
        (lambda of=of, name=name: getattr(of, name), lambda value, of=of, name=name: setattr(of, name, value))
        for of, name in (
            (torch.backends.cuda.matmul, "fp32_precision"),
            (torch.backends.mkldnn.matmul, "fp32_precision"),  # type: ignore[attr-defined]
            (torch.backends.cudnn, "benchmark"),
            (torch.backends.cudnn, "deterministic"),
        )
    ),
)
"""Settings of the process that a network's code may change: a reader and a writer of each."""


class _RandomState:
    """The states of torch's, NumPy's and Python's global generators."""

    def __init__(self) -> None:
        self._gpus = _gpu_generators()
        self._torch = torch.get_rng_state()
        self._gpu_states = [generator.get_state() for generator in self._gpus]
        self._numpy = np.random.get_state()  # noqa: NPY002
        self._python = random.getstate()

    def restore(self) -> None:
        torch.set_rng_state(self._torch)
        for generator, state in zip(self._gpus, self._gpu_states, strict=True):
            generator.set_state(state)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the global generators' states after the block."""
    before = _RandomState()
    try:
        yield
    finally:
        before.restore()


class _GlobalState:
    """Settings of the process and states of its generators."""

    def __init__(self) -> None:
        self._settings = [read() for read, _ in _SETTINGS]
        self._draws = _RandomState()

    def restore(self) -> None:
        for (read, write), value in zip(_SETTINGS, self._settings, strict=True):
            if read() != value:
                write(value)
        self._draws.restore()


class IsolatedState:
    """Context that applies the global state of one training and restores the caller's on exit.

    It can be entered repeatedly and restores the state that it was left with. A training starts with single precision
    and gradients enabled, whatever its caller has set; threads and the like are the caller's until the network changes
    them.
    """

    def __init__(self) -> None:
        self._within: _GlobalState | None = None
        self._before: _GlobalState | None = None

    def __enter__(self) -> None:
        """Apply the training's state."""
        self._before = _GlobalState()
        if self._within is not None:
            self._within.restore()
        else:
            torch.set_default_dtype(torch.float32)
            torch.set_grad_enabled(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the caller's state."""
        assert self._before is not None
        self._within = _GlobalState()
        self._before.restore()
