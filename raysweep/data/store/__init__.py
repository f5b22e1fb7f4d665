"""Stores: Arrow shards of structures with a manifest, written whole and mapped at random."""
