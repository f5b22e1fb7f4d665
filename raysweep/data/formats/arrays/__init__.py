"""Formats of arrays over frames: npz, HDF5, Parquet."""
