"""How often a fault is tried: enough to notice a mistake in `make test`, the published numbers with ANCILLA_FAULT_ROUNDS=full."""

import os

FULL = os.environ.get("ANCILLA_FAULT_ROUNDS", "") == "full"


def rounds(usual: int, published: int) -> int:
    """``usual`` unless the published numbers are asked for."""
    return published if FULL else usual


def report(**figures: object) -> None:
    """Figures for docs/fuzzing.md; pytest shows them with -s."""
    print("\n  " + ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in figures.items()))
