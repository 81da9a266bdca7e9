"""Xu (2026), arXiv 2604.07380: the lifecycle of the spectral edge, and its controls."""
