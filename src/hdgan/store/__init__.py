"""Paths and bytes: atomic writes, stage folders, hashes, arrays, archives. Nothing else touches files."""
