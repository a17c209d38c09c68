"""placeholder."""


def write() -> None:
    """x."""
