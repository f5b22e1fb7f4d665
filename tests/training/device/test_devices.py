"""Seconds have the name of the device that took them."""

from pathlib import Path

import torch

from raysweep.training.device.devices import cpu_model, device_name, together


def test_a_processor_is_called_by_its_model(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: AMD EPYC 9654\nprocessor\t: 1\nmodel name\t: AMD EPYC 9654\n")
    assert cpu_model(info) == "AMD EPYC 9654"
    assert cpu_model(tmp_path / "none"), "the architecture is known everywhere"
    assert device_name(torch.device("cpu")).startswith("cpu (")


def test_a_trajectory_that_moved_counts_seconds_of_its_own_kind() -> None:
    assert together(["A", "A"]) == "A"
    assert together(["A", "B"]) == "A + B"
    assert together(["A + B", "A"]) == "A + B"
