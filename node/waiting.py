"""What a study waits for, in words and as data: the evidence, what is missing, how long is waited and why so long."""

from db.store import Store
from domain.completeness import Completeness, Standing
from domain.moves import StudyState
from domain.studies import Study
from node.config import StudySettings
from node.quiet import quiet_time


def completeness(store: Store, study: Study, settings: StudySettings) -> Completeness:
    """How a study stands now."""
    standing = store.standing(study.study_uid)
    quiet = quiet_time(settings, store.habits().get(store.last_caller(study.study_uid)))
    return Completeness(
        waiting_for(study, standing),
        _settled_by(store, study),
        standing,
        quiet.seconds,
        quiet.words,
        study.quiet_at,
        study.deadline,
    )


def waits_for(store: Store, study: Study) -> tuple[str, ...]:
    """The same as ``waiting_for``, for lists: closed studies cost nothing."""
    return waiting_for(study, store.standing(study.study_uid)) if study.state is StudyState.RECEIVING else ()


def waiting_for(study: Study, standing: Standing) -> tuple[str, ...]:
    """Short words, the strongest reason first; none when the study is closed."""
    if study.state is not StudyState.RECEIVING:
        return ()
    said = ["the end of the procedure step"] if standing.in_progress else []
    said += [f"{one.missing} of {one.listed} listed ({one.source})" for one in standing.statements if one.final and one.missing]
    said += [hold.words for hold in standing.holds]
    said += [f"{standing.sending} open association{'s' if standing.sending > 1 else ''}"] if standing.sending else []
    return tuple(said) or ("a quiet moment",)


def _settled_by(store: Store, study: Study) -> str:
    if study.state is StudyState.RECEIVING:
        return ""
    found = [row.subject for row in store.evidence(study.study_uid) if (row.kind, row.revision) == ("settled", study.revision)]
    return found[-1] if found else "unknown"
