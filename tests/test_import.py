"""What importing the package costs and needs."""

import subprocess
import sys

EXTRAS = ("tyro", "rich", "safetensors", "pyarrow", "plotly", "jinja2", "sklearn")


def test_importing_needs_no_extra():
    script = (
        "import sys\n"
        f"for name in {EXTRAS}: sys.modules[name] = None\n"
        "import spectraledge\n"
        "from spectraledge import LowRankDecay, polar_factor\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_loads_little_beyond_torch():
    script = (
        "import torch, sys; before = set(sys.modules)\n"
        "import spectraledge\n"
        "print('\\n'.join(n for n in set(sys.modules) - before if '.' not in n))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert not set(found.stdout.split()) & {*EXTRAS, "pandas", "matplotlib", "IPython"}
