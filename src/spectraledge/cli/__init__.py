"""The command line: ``spectraledge list | train | run | sweep | report | show | bench``.

Every subcommand is a frozen dataclass of flags with an ``execute`` method. Modules here import
nothing heavy before they execute, so that ``--help`` answers at once.
"""

from spectraledge.cli.entry import main

__all__ = ["main"]
