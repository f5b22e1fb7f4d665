"""Names of devices: seconds are compared only between points of devices with the same name."""

import functools
import platform
from collections.abc import Iterable
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")
JOIN = " + "


def device_name(device: torch.device) -> str:
    """The name of an accelerator as its driver gives it, or `cpu` with the processor's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({cpu_model(CPU_INFO)})"


def together(names: Iterable[str]) -> str:
    """The joint name of the devices that a trajectory has run on, one after another."""
    parts = (part for name in names for part in name.split(JOIN))
    return JOIN.join(dict.fromkeys(parts))


@functools.lru_cache(maxsize=2)
def cpu_model(path: Path) -> str:
    """The processor's model as given by Linux; elsewhere the architecture."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next((model for model in models if model), platform.machine() or "unknown")
