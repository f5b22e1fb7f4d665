"""Readers of published data sets, a file each: every one yields structures in eV and Å, with forces, not gradients."""
