"""Grok and onset steps printed in two papers, one row per run.

SCAN and DYCK: arXiv 2602.16967, LaTeX tables of lead times by learning rate; grok is the start of
three records >= 0.98. MODULAR: arXiv 2602.16746, recomputed from its released result tensors:
learning rate 1e-3, four operations by three seeds, onset by the published rule.
"""

import numpy as np

SEEDS = (42, 137, 2024)

# (lr, grok, onset); the runs without either one are left out.
SCAN = np.array([
    (1e-5, 115000, 3000),
    (5e-5, 14500, 1000), (5e-5, 27000, 2000), (5e-5, 14000, 2000),
    (1e-4, 6500, 700), (1e-4, 7000, 1700), (1e-4, 7200, 1000),
    (5e-4, 1800, 1000), (5e-4, 16000, 1500), (5e-4, 4000, 1500),
    (1e-3, 1700, 800),
]).T  # fmt: skip
DYCK = np.array([
    (3e-5, 68000, 3000),
    (1e-4, 29000, 13500), (1e-4, 44000, 1000), (1e-4, 32000, 9000),
    (5e-4, 5800, 600), (5e-4, 6800, 400), (5e-4, 10800, 1000),
    (1e-3, 2900, 200), (1e-3, 4400, 200), (1e-3, 7500, 200),
    (3e-3, 2100, 500), (3e-3, 1200, 1000),
    (1e-2, 11900, 900), (1e-2, 2900, 300), (1e-2, 3700, 200),
]).T  # fmt: skip

# Operation, seed, onset, grok_50, grok_90, grok_stop.
MODULAR = [
    ("add", 42, 1800, 3000, 3100, 3300),
    ("add", 137, 1800, 3000, 3200, 3400),
    ("add", 2024, 1900, 2300, 2500, 2800),
    ("sub", 42, 2100, 3100, 3200, 3500),
    ("sub", 137, 2000, 3400, 3600, 3800),
    ("sub", 2024, 2000, 3300, 3500, 3700),
    ("mul", 42, 1900, 2400, 2500, 2800),
    ("mul", 137, 1900, 2700, 2800, 3100),
    ("mul", 2024, 1900, 2400, 2600, 2800),
    ("x2_y2", 42, 500, 700, 1900, 2700),
    ("x2_y2", 137, 700, 700, 1900, 2600),
    ("x2_y2", 2024, 700, 700, 1800, 2500),
]
