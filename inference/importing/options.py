"""What somebody who imports a model may say where its files do not."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Options:
    """All empty: what the source says, or a stated assumption. ``size`` is that of the network's input (rows, columns) or its
    window; ``kind`` "volume", "images" or "slide"; ``labels`` the classes without the background."""

    model_id: str = ""
    name: str = ""
    kind: str = ""
    modality: str = ""
    orientation: str = ""
    labels: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)  # sequences in the order of the network's input, of several at once
    size: list[int] = field(default_factory=list)
    output: str = ""
    um_per_pixel: float = 0.0
    mean: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    weights: str = ""  # a file of the source, where there are several
    fold: str = ""  # of nnU-Net
    configuration: str = ""  # of nnU-Net
