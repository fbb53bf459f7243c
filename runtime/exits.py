"""Exit codes, relied on by cron, systemd and Kubernetes: changing one is a major version."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit says to the program that started it."""

    DONE = 0
    FAILED = 1  # for the reason printed
    USAGE = 2  # wrong usage or setting: starting again changes nothing
    GUARANTEE = 3  # stopped to keep the guarantee: history, position, foreign record
