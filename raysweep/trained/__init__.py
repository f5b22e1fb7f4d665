"""Trained force fields: model files, their ASE calculator, errors on files of structures, exports."""
