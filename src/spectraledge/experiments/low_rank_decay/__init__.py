"""Claims about low-rank decay (arXiv 2606.04405 and the code it builds on)."""
