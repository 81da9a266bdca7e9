"""One thread in every test, Ctrl-C as in a terminal, shapes checked at the public boundaries."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell makes its background jobs deaf to it, and what the tests start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from jaxtyping import install_import_hook

# Models, updates and layouts run inside vmap and torch.compile, where wrappers around every call
# would break tracing; their shapes are tested through what they compute.
CHECKED = ("linalg", "matrices", "instruments", "series", "tasks")
install_import_hook([f"spectraledge.{name}" for name in CHECKED], "beartype.beartype")

import torch  # noqa: E402 - after the hook and the thread count

torch.set_num_threads(1)
