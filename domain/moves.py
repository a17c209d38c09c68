"""The two state machines as data: whatever is not in these tables cannot happen."""

from enum import StrEnum
from typing import Final


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "receiving"  # images may still come; quiet_at says until when we wait
    COMPLETE = "complete"  # closed, its jobs are queued
    PURGED = "purged"  # its images and results were deleted (domain.retention says when that may be)


class StudyMove(StrEnum):
    """What can happen to a study."""

    SETTLE = "settle"  # the evidence says complete
    REOPEN = "reopen"  # a late image: revision + 1
    RERUN = "rerun"  # an operator has it judged again by the rules and packages of now: revision + 1
    PURGE = "purge"


STUDY_MOVES: Final = {
    (StudyState.RECEIVING, StudyMove.SETTLE): StudyState.COMPLETE,
    (StudyState.COMPLETE, StudyMove.REOPEN): StudyState.RECEIVING,
    (StudyState.PURGED, StudyMove.REOPEN): StudyState.RECEIVING,
    (StudyState.COMPLETE, StudyMove.RERUN): StudyState.COMPLETE,
    (StudyState.COMPLETE, StudyMove.PURGE): StudyState.PURGED,
}


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  # waits for run_at and a free worker
    RUNNING = "running"  # one worker holds its lease and token
    DONE = "done"
    DECLINED = "declined"  # the input does not fit the model: an answer, not a fault
    FAILED = "failed"  # all attempts used up, or given up at once
    CANCELLED = "cancelled"  # by an operator, or superseded by a newer revision


class JobMove(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"  # queued -> running, attempt + 1, new token
    FINISH = "finish"  # running -> done
    DECLINE = "decline"  # running -> declined
    FAIL = "fail"  # running -> failed
    RETRY = "retry"  # running -> queued, later
    EXPIRE = "expire"  # running -> queued: the lease was lost
    CANCEL = "cancel"
    REVIVE = "revive"  # an operator starts it again
    CONFIRM = "confirm"  # commit jobs: the archive has taken responsibility, whether anybody works on the job or not
    DENY = "deny"  # commit jobs: the archive does not have it all


JOB_MOVES: Final = {
    (JobState.QUEUED, JobMove.CLAIM): JobState.RUNNING,
    (JobState.RUNNING, JobMove.FINISH): JobState.DONE,
    (JobState.RUNNING, JobMove.DECLINE): JobState.DECLINED,
    (JobState.RUNNING, JobMove.FAIL): JobState.FAILED,
    (JobState.RUNNING, JobMove.RETRY): JobState.QUEUED,
    (JobState.RUNNING, JobMove.EXPIRE): JobState.QUEUED,
    (JobState.QUEUED, JobMove.CANCEL): JobState.CANCELLED,
    (JobState.RUNNING, JobMove.CANCEL): JobState.CANCELLED,
    (JobState.QUEUED, JobMove.CONFIRM): JobState.DONE,
    (JobState.RUNNING, JobMove.CONFIRM): JobState.DONE,
    (JobState.QUEUED, JobMove.DENY): JobState.FAILED,
    (JobState.RUNNING, JobMove.DENY): JobState.FAILED,
    (JobState.DONE, JobMove.REVIVE): JobState.QUEUED,
    (JobState.DECLINED, JobMove.REVIVE): JobState.QUEUED,
    (JobState.FAILED, JobMove.REVIVE): JobState.QUEUED,
    (JobState.CANCELLED, JobMove.REVIVE): JobState.QUEUED,
}
