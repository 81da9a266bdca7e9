"""Experiments: one file is one figure or claim of a paper."""
