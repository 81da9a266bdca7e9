"""Studies of Xu (2026), arXiv 2602.16746: execution subspace and transverse curvature."""
