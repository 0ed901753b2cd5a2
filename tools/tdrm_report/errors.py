"""What can go wrong with a folder, with the exit codes of tdrm."""


class NotARun(Exception):
    """The path is no run folder."""

    exit_code = 64


class DamagedRun(Exception):
    """The folder was a run, but what it holds can't be trusted or read."""

    exit_code = 65
