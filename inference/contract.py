"""What ``package.toml`` says, as frozen values: the input contract, how the network is fed, the steps, the tolerances."""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.errors import PackageError
from inference.about import About, read_about
from inference.admission import Contract, read_contract
from inference.channels import Channel, read_channels
from inference.keys import Table, known_segments
from inference.steps.post import PostStep, post_step
from inference.steps.pre import PreStep, pre_step
from inference.windows.plan import Windows, read_decision, read_inferer, read_steps

# Of a network: how it slides, if it does; the steps before it, of each series; the tables of the steps after it.
Around = tuple[Windows | None, tuple[tuple[PreStep, ...], ...], list[Table]]


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor: value k of it is segment ``labels[k - 1]``, all of one layer."""

    name: str
    labels: tuple[int, ...]
    layer: int


@dataclass(frozen=True, slots=True)
class Network:
    """How the network is fed and read. Exactly one of ``channels_mm`` and ``channels_slices`` is not empty.

    ``series`` is the number of the series of each channel, where the network sees several series slice by slice.
    """

    file: str
    input: str
    size: tuple[int, int]
    channels_mm: tuple[float, ...]
    channels_slices: tuple[int, ...]
    outputs: tuple[Output, ...]
    series: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the input tensor."""
        return len(self.channels_mm) or len(self.channels_slices)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far a golden case may differ."""

    volume_percent: float
    volume_ml: float
    dice: float
    quantity_percent: float
    quantity_absolute: float
    int8: bool = False  # there is an INT8 form of the network too


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of ``package.toml``."""

    about: About
    contract: Contract
    network: Network
    preprocessing: tuple[tuple[PreStep, ...], ...]  # of each series; see ``windows``
    postprocessing: tuple[PostStep, ...]
    tolerances: Tolerances
    peak_memory_mb: int = 0  # most resident memory a job of this model needs (MB of 10^6 bytes); 0: not said
    windows: Windows | None = None  # of a network that slides over the volume: then ``preprocessing`` is empty
    channels: tuple[Channel, ...] = ()  # of a network that sees several series at once, the first of which is the grid


def read_manifest(data: object, layer_of: dict[int, int]) -> Manifest:
    """``package.toml`` parsed; ``layer_of`` gives the layer of each segment number; raises PackageError."""
    table = Table(data, "package.toml")
    about = read_about(table)
    asked = table.table("input")
    contract = read_contract(asked)
    channels = read_channels(asked, contract)
    names = tuple(channel.name for channel in channels)
    if "inferer" in table:
        network = _window_network(table.table("network"), layer_of, contract.units)
        around = _windows(table, network, layer_of, names)
    else:
        network = _network(table.table("network"), layer_of, contract.units, names)
        around = _slices(table, network, names)
    manifest = Manifest(
        about=about,
        contract=contract,
        network=network,
        preprocessing=around[1],
        postprocessing=tuple(post_step(step, layer_of) for step in around[2]),
        tolerances=_tolerances(table.table("precision")),
        peak_memory_mb=table.integer("peak_memory_mb", 1, 10_000_000, 0) if "peak_memory_mb" in table else 0,
        windows=around[0],
        channels=channels,
    )
    table.done()
    return manifest


def _network(table: Table, layer_of: dict[int, int], units: str, names: tuple[str, ...]) -> Network:
    table.choice("layout", ("NCHW",))
    table.choice("value", (units,))
    rows, columns = table.integers("size", 2, 2, 8, 4096)
    if ("channels_mm" in table) == ("channels_slices" in table):
        raise PackageError(f"{table.where}: exactly one of 'channels_mm' and 'channels_slices' must be there")
    millimetres, slices, series = _offsets(table, names) if names else _offsets_alone(table)
    outputs = tuple(_output(output, layer_of) for output in table.tables("outputs"))
    network = Network(table.text("file"), table.text("input"), (rows, columns), millimetres, slices, outputs, series)
    table.done()
    return _once(network, layer_of)


def _offsets_alone(table: Table) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    """The offsets of the channels of one series, in mm or in slices."""
    for key in ("channels_mm", "channels_slices"):
        if isinstance(values := table.take(key, None), list) and any(isinstance(value, list) for value in values):
            raise table.wrong(key, "a list of numbers: pairs of a channel and an offset need [[input.channels]]")
    millimetres = table.numbers("channels_mm", 1, 32, -1000, 1000) if "channels_mm" in table else ()
    slices = table.integers("channels_slices", 1, 32, -100, 100) if "channels_slices" in table else ()
    return millimetres, slices, ()


def _offsets(table: Table, names: tuple[str, ...]) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    """The offsets of the channels, and the number of the series of each."""
    key, most = ("channels_mm", 1000) if "channels_mm" in table else ("channels_slices", 100)
    pairs = table.named_numbers(key, 32, names, -most, most)
    unused = [name for name in names if name not in dict(pairs)]
    if unused:
        raise PackageError(f"{table.where}: no channel of the network is of {unused[0]!r}, which 'input' names")
    offsets, series = tuple(offset for _, offset in pairs), tuple(names.index(name) for name, _ in pairs)
    if key == "channels_mm":
        return offsets, (), series
    if any(offset != int(offset) for offset in offsets):
        raise table.wrong(key, "a list of pairs of a channel and a whole number of slices")
    return (), tuple(int(offset) for offset in offsets), series


def _slices(table: Table, network: Network, names: tuple[str, ...]) -> Around:
    """The steps around a network that sees slice by slice."""
    steps = _preprocessing(table.tables("preprocessing"), network.size, names)
    return None, steps, table.tables("postprocessing", optional=True)


def _windows(table: Table, network: Network, layer_of: dict[int, int], names: tuple[str, ...]) -> Around:
    """The steps around a network that slides over the volume."""
    inferer, steps = read_inferer(table.table("inferer")), read_steps(table.tables("preprocessing"), names)
    decision, rest = read_decision(table.tables("postprocessing"), network.outputs[0].labels, layer_of)
    return Windows(inferer, steps, decision), (), rest


def _window_network(table: Table, layer_of: dict[int, int], units: str) -> Network:
    """A network that answers with scores: one channel for each series, one output."""
    table.choice("layout", ("NCDHW", "NCHW"))
    table.choice("value", (units,))
    outputs = table.tables("outputs", most=1)
    if len(outputs) != 1:
        raise PackageError("package.toml: network: outputs: a network with an [inferer] has exactly one output")
    labels = known_segments(outputs[0], "labels", layer_of)
    if sorted(labels) != sorted(layer_of):
        raise outputs[0].wrong("labels", "every segment of segments.json, once each, in the order of the channels")
    output = Output(outputs[0].text("name"), labels, layer_of[labels[0]])
    outputs[0].done()
    network = Network(table.text("file"), table.text("input"), (0, 0), (), (0,), (output,))
    table.done()
    return network


def _once(network: Network, layer_of: Iterable[int]) -> Network:
    """Every segment comes from exactly one output, every layer too (one output must not overwrite another)."""
    given = sorted(label for output in network.outputs for label in output.labels)
    if given != sorted(layer_of):
        raise PackageError("package.toml: network: outputs: each segment of segments.json must be a label of exactly one output")
    if len({output.layer for output in network.outputs}) != len(network.outputs):
        raise PackageError("package.toml: network: outputs: two outputs fill one layer of segments.json")
    return network


def _output(table: Table, layer_of: dict[int, int]) -> Output:
    labels = known_segments(table, "labels", layer_of)
    layers = {layer_of[label] for label in labels}
    if len(layers) != 1:
        raise table.wrong("labels", "segments of one layer")
    output = Output(table.text("name"), labels, layers.pop())
    table.done()
    return output


def _preprocessing(tables: list[Table], size: tuple[int, int], channels: tuple[str, ...]) -> tuple[tuple[PreStep, ...], ...]:
    """The steps for the slices of each series."""
    names = [table.take("step") for table in tables]
    if names.count("Resize") != 1 or names[-1] != "Resize":
        raise PackageError("package.toml: preprocessing: the last step, and only that, must be 'Resize'")
    steps = [pre_step(table, size, channels) for table in tables]
    return tuple(
        tuple(step for step, chosen in steps if chosen is None or number in chosen) for number in range(len(channels) or 1)
    )


def _tolerances(table: Table) -> Tolerances:
    tolerances = Tolerances(
        volume_percent=table.number("volume_percent", 0, 100),
        volume_ml=table.number("volume_ml", 0, 1000),
        dice=table.number("dice", 0, 1),
        quantity_percent=table.number("quantity_percent", 0, 100),
        quantity_absolute=table.number("quantity_absolute", 0, 1000),
        int8=table.flag("int8", False),
    )
    table.done()
    return tolerances
