"""Spectral dynamics of training."""
