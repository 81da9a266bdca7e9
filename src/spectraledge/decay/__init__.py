"""Low-rank decay: a drop-in spectral decay for any torch optimizer."""
