"""What every association of a receiver shares."""

from dataclasses import dataclass, field

from domain.seams import Intake
from scp.admission import Admission
from scp.associations import Associations
from scp.evidence import Services
from scp.flood import Flood
from scp.outcomes import Outcomes
from scp.settings import ReceiverSettings


@dataclass(frozen=True, slots=True)
class House:
    """Settings, rules, storage and the list of running associations of one receiver."""

    settings: ReceiverSettings
    admission: Admission
    intake: Intake
    associations: Associations
    services: Services | None = None  # MPPS, instance availability, storage commitment
    flood: Flood = field(default_factory=lambda: Flood(0.0))
    outcomes: Outcomes = field(default_factory=Outcomes)
