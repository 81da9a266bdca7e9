"""Benchmarks: each compares ours with a naive baseline, interleaved in one process."""
