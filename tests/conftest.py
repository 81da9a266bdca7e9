"""One thread in every test, and shapes checked at the public boundaries."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

# Models, updates and layouts run inside vmap and torch.compile, where wrappers around every call
# would break tracing; their shapes are tested through what they compute.
CHECKED = ("linalg", "matrices", "instruments", "series", "tasks")
install_import_hook([f"spectraledge.{name}" for name in CHECKED], "beartype.beartype")

import torch  # noqa: E402 - after the hook and the thread count

torch.set_num_threads(1)
