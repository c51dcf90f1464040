"""Exceptions: what goes wrong, in one line that names place, requirement, value found and remedy."""


class FfzeroError(Exception):
    """Base of everything that the library raises on purpose."""


class ConfigError(FfzeroError, ValueError):
    """A setting: unknown, misspelt, unused, out of range, in conflict."""


class UsageError(FfzeroError, ValueError):
    """A call that does not fit what was done before, or a folder that exists already."""


class DataError(FfzeroError, ValueError):
    """A data set, a checkpoint or another input file."""


class DeviceError(FfzeroError, RuntimeError):
    """A device that failed or answered out of contract."""


class CheckError(FfzeroError, RuntimeError):
    """A check that was asked for did not hold."""


class DivergedError(FfzeroError, ArithmeticError):
    """A loss or a parameter stopped being finite."""


class OutputError(FfzeroError, OSError):
    """Something could not be written."""
