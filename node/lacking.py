"""What the node itself finds missing in a study that has gone quiet: required series, slices, images the PACS has."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pydicom.dataset import Dataset

from domain.completeness import Hold, HoldKind, Standing
from domain.evidence import Source
from domain.instances import Instance, Place
from node.geometry import gap
from node.loaded import Model

Headers = Mapping[str, Dataset | None]  # one per series
NAMES = {
    Source.MPPS: "the modality (MPPS)",
    Source.AVAILABILITY: "an availability notification",
    Source.COMMITMENT: "a storage commitment request",
}


def wants(model: Model, header: Dataset) -> bool:
    """Whether a series goes into the jobs of a model: by its rule, or because its network sees it together with others."""
    return model.settings.when.wants(header) or any(channel.rank(header) is not None for channel in model.channels)


def waited_for(models: Sequence[Model], headers: Headers) -> Sequence[Model]:
    """The models for whose sake a study is held. What runs in shadow beside a live model does not make its answer wait; where no
    live model asks for anything of the study, it is held as if the shadow were live."""
    known = [header for header in headers.values() if header is not None]
    live = [model for model in models if not model.shadow]
    asks = (rule for model in live for rule in (model.settings.when, *model.settings.requires))
    return live if any(rule.wants(header) for rule in asks for header in known) else models


def required(models: Sequence[Model], headers: Headers) -> Iterator[Hold]:
    """Series that have not come. A model asks for its series in studies where its rule or one of its requirements is met."""
    known = [header for header in headers.values() if header is not None]
    for model in models:
        rules = model.settings.requires
        there = [any(rule.wants(header) for header in known) for rule in rules]
        if not rules or not (any(there) or any(model.settings.when.wants(header) for header in known)):
            continue
        for number, (rule, found) in enumerate(zip(rules, there, strict=True), 1):
            if not found:
                asks = ", ".join(clause.keyword for clause in rule.clauses)
                words = f"a required series is missing (requires[{number}] of {model.package_id}: {asks})"
                yield Hold(HoldKind.REQUIRED_SERIES, f"{model.name}/{number}", words)


def unfilled(models: Sequence[Model], headers: Headers) -> Iterator[Hold]:
    """Series that a network sees together with others and that have not come, in studies that have one of them."""
    known = [header for header in headers.values() if header is not None]
    for model in models:
        if not any(model.settings.when.wants(header) for header in known):
            continue
        there = [any(channel.rank(header) is not None for header in known) for channel in model.channels]
        for channel, found in zip(model.channels, there, strict=True):
            if any(there) and not found:
                words = f"a required series is missing ({channel.name} of {model.package_id})"
                yield Hold(HoldKind.REQUIRED_SERIES, f"{model.name}/{channel.name}", words)


def holes(
    models: Sequence[Model],
    headers: Headers,
    series: Mapping[str, Sequence[Instance]],
    plane: Callable[[Place], Dataset | None],
) -> Iterator[Hold]:
    """Slices missing from regular stacks that some model wants."""
    for uid, header in headers.items():
        if header is None or not any(wants(model, header) for model in models):
            continue
        found = gap([plane(instance.place) for instance in series[uid]])
        if found:
            words = f"{found.missing} of {found.complete} slices {'is' if found.missing == 1 else 'are'} missing in series {uid}"
            yield Hold(HoldKind.GEOMETRY, uid, words)


def unfulfilled(standing: Standing) -> list[str]:
    """What others listed and is not here, in sentences for the radiologist."""
    said = []
    for statement in standing.statements:
        by = NAMES.get(Source(statement.source), statement.source)
        if not statement.final:
            said.append(f"Analysed before {by} had ended the procedure step.")
        elif statement.missing:
            verb = "is" if statement.missing == 1 else "are"
            said.append(f"Analysed incomplete: {statement.missing} of {statement.listed} images listed by {by} {verb} missing.")
    return said


def for_model(holds: Sequence[Hold], name: str) -> list[str]:
    """The sentences of one model (``Model.name``). Slices that a stack lacks are not among them: the model judges these itself
    and says so."""
    return [
        f"Analysed incomplete: {hold.words}."
        for hold in holds
        if hold.kind is HoldKind.PACS_COUNT or (hold.kind is HoldKind.REQUIRED_SERIES and hold.subject.rpartition("/")[0] == name)
    ]


def turned_away(keywords: Iterable[str]) -> str:
    """Why a rule does not want a study: the DICOM keywords of the clauses that failed."""
    return f"its rule asks for another {' and '.join(keywords)}"


def reasons(unmet: Mapping[str, Sequence[str]]) -> str:
    """The same for several models; "" where none of them has seen a header."""
    return "; ".join(f"{model_id}: {turned_away(keywords)}" for model_id, keywords in unmet.items() if keywords)
