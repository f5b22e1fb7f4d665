"""The device of a training process: its name, precision, memory and compiled steps."""
