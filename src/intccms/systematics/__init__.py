"""Corrections and their variations: pure functions of arrays."""
