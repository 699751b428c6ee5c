"""The errors a user can meet: each says what is wrong, where, and what to do."""


class GraphriseError(Exception):
    """Base of every error graphrise raises on purpose; the command line prints it in one line."""


class DataError(GraphriseError):
    """Something in the user's files or arrays is wrong."""


class ConfigError(GraphriseError):
    """A setting is out of range, or settings contradict each other."""


class Stopped(GraphriseError):
    """A run was asked to stop (SIGTERM) and wrote a checkpoint: nothing is wrong."""
