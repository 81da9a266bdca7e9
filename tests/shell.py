"""What a shell says of a process."""

__all__ = ["exit_code"]


def exit_code(process):
    """What ``$?`` is after a process: 128 + n if signal n ended it.

    ``python -m`` ends itself by SIGINT if it caught an interrupt that fell inside `exec` of a
    string, of which torch has many; otherwise it ends with its own 130. No shell can tell.
    """
    code = process.returncode
    return 128 - code if code < 0 else code
