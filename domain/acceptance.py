"""Whether a model package runs on this CPU, in which precisions and how fast: what was tried and what was chosen."""

from dataclasses import dataclass

from domain.errors import PackageError


@dataclass(frozen=True, slots=True)
class Trial:
    """One precision: whether all golden cases agree (``words``: what does not), and how fast the network is."""

    precision: str
    agrees: bool
    words: str
    per_second: float  # items through the network
    streams: int = 0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What was tried with one package on one machine. ``machine`` is the CPU, ``precision`` the choice ("": refused)."""

    package_id: str
    digest: str
    machine: str
    threads: int
    precision: str
    trials: tuple[Trial, ...]

    def covers(self, precision: str) -> bool:
        """Whether all that a setting of ``[compute] precision`` asks for was tried."""
        tried = {trial.precision for trial in self.trials}
        return precision in tried or (precision == "auto" and "int8" in tried) or not self.precision

    def chosen(self, precision: str = "auto") -> Trial:
        """How to run it under a setting of ``[compute] precision``; raises PackageError that says why not."""
        trials = {trial.precision: trial for trial in self.trials}
        if not self.precision:
            words = trials["fp32"].words if "fp32" in trials else ""
            raise PackageError(f"{self.package_id} fails its golden cases on this CPU in FP32 and is refused: {words}")
        trial = trials.get(self.precision if precision == "auto" else precision)
        if trial is None or not trial.agrees:
            words = trial.words if trial else "it was not tried"
            raise PackageError(f'{self.package_id} is not accepted in {precision} on this CPU: {words}; set precision = "auto"')
        return trial


@dataclass(frozen=True, slots=True)
class AcceptanceOrder:
    """What a worker needs to try a package. Paths are absolute."""

    package: str
    package_digest: str
    precision: str
    threads: int
    data_dir: str
    again: bool = False  # whatever is remembered


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a worker gives back. ``fresh``: it was tried now, not remembered."""

    acceptance: Acceptance
    fresh: bool
