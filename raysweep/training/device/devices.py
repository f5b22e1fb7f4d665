"""What a device is called: seconds are compared only between points whose devices have one name."""

import functools
import platform
from collections.abc import Iterable
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")
JOIN = " + "


def device_name(device: torch.device) -> str:
    """Return an accelerator's name as its driver gives it, or `cpu` with the processor's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({cpu_model(CPU_INFO)})"


def together(names: Iterable[str]) -> str:
    """Return the name of the seconds of a trajectory that has run on several devices, one after another."""
    parts = (part for name in names for part in name.split(JOIN))
    return JOIN.join(dict.fromkeys(parts))


@functools.lru_cache(maxsize=2)
def cpu_model(place: Path) -> str:
    """Return the processor's model as Linux tells it, the architecture elsewhere."""
    try:
        lines = place.read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next((model for model in models if model), platform.machine() or "unknown")
