"""The tables as the newest migration leaves them. Times are microseconds since 1970 in UTC, lists and mappings are JSON."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text, text

metadata = MetaData()
NOT_STORED = "event <> 'stored'"  # nearly all audit rows are: an index of the others is small, and no image waits for it
IN_SHADOW = "shadow = 1"  # few jobs are

studies = Table(
    "studies",
    metadata,
    Column("study_uid", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("quiet_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Index("studies_state", "state"),
    Index("studies_last_at", "last_at", "study_uid"),
)

instances = Table(  # every copy that was kept; at most one of the same SOP Instance UID is the winner
    "instances",
    metadata,
    Column("instance_id", Integer, primary_key=True),
    Column("study_uid", String, ForeignKey("studies.study_uid"), nullable=False),
    Column("revision", Integer, nullable=False),  # of the study when it arrived
    Column("series_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("transfer_syntax_uid", String, nullable=False),
    Column("modality", String, nullable=False),
    Column("winner", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("pack", String, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("calling_ae", String, nullable=False),
    Column("called_ae", String, nullable=False),
    Column("address", String, nullable=False),
    Column("association_id", String, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Index("instances_sop", "sop_instance_uid"),
    Index("instances_study", "study_uid", "series_uid"),
)

pack_ends = Table(  # how far each pack is indexed, duplicates included: start-up looks at what lies behind
    "pack_ends",
    metadata,
    Column("pack", String, primary_key=True),
    Column("end", BigInteger, nullable=False),
)

associations = Table(
    "associations",
    metadata,
    Column("association_id", String, primary_key=True),
    Column("calling_ae", String, nullable=False),
    Column("called_ae", String, nullable=False),
    Column("address", String, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("how", String, nullable=False),
    Index("associations_closed_at", "closed_at"),
)

evidence = Table(  # what is known about whether a revision of a study is complete
    "evidence",
    metadata,
    Column("study_uid", String, ForeignKey("studies.study_uid"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("details", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("evidence_subject", "kind", "subject"),
)

statements = Table(  # what others say belongs to a study; ``study_uid`` is empty where they named none that is known
    "statements",
    metadata,
    Column("statement_id", Integer, primary_key=True),
    Column("source", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("study_uid", String, nullable=False),
    Column("calling_ae", String, nullable=False),
    Column("address", String, nullable=False),
    Column("final", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kept", Integer, nullable=False, server_default="0"),  # 1: old, and its study came; never looked at again
    Index("statements_subject", "source", "subject", "study_uid", unique=True),
    Index("statements_study", "study_uid"),
    Index("statements_fresh", "at", sqlite_where=text("kept = 0"), postgresql_where=text("kept = 0")),
)

members = Table(  # the instances a statement lists: nothing but the key, so thousands of them stay small
    "members",
    metadata,
    Column("statement_id", Integer, primary_key=True),
    Column("sop_instance_uid", String, primary_key=True),
    sqlite_with_rowid=False,
)

reports = Table(  # of storage commitment, owed to a modality: gone when it has taken them
    "reports",
    metadata,
    Column("calling_ae", String, primary_key=True),
    Column("called_ae", String, primary_key=True),
    Column("address", String, primary_key=True),
    Column("transaction_uid", String, primary_key=True),
    Column("durable", Text, nullable=False),  # JSON: [[SOP Class UID, SOP Instance UID], ...]
    Column("missing", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

habits = Table(  # one row per calling AE title: how long it pauses within a study
    "habits",
    metadata,
    Column("calling_ae", String, primary_key=True),
    Column("studies", Integer, nullable=False),
    Column("pauses", Text, nullable=False),
    Column("hasty", Integer, nullable=False),
)

strangers = Table(
    "strangers",
    metadata,
    Column("calling_ae", String, primary_key=True),
    Column("called_ae", String, primary_key=True),
    Column("address", String, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("words", Text, nullable=False),
    Column("proposed", Text, nullable=False, server_default="[]"),  # SOP classes it wanted to send, the last time
)

admissions = Table(  # whom `ancilla admit` has let in, beside [[peer]] of the configuration
    "admissions",
    metadata,
    Column("ae_title", String, primary_key=True),
    Column("address", String, primary_key=True),
    Column("port", Integer, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", BigInteger, nullable=False),
)

patients = Table(  # who is the same patient as whom; the mark is a keyed digest and says nothing else
    "patients",
    metadata,
    Column("study_uid", String, primary_key=True),
    Column("mark", String, nullable=False),
    Column("study_date", String, nullable=False),
    Index("patients_mark", "mark", "study_date"),
)

requests = Table(  # storage commitment asked of archives: which job an answer belongs to
    "requests",
    metadata,
    Column("transaction_uid", String, primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.job_id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("requests_job", "job_id"),
)

acceptances = Table(  # what a destination takes, as it was found out by sending
    "acceptances",
    metadata,
    Column("destination", String, primary_key=True),
    Column("sop_class_uid", String, primary_key=True),
    Column("accepted", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
)

leftovers = Table(  # files of purged studies that are still to be deleted
    "leftovers",
    metadata,
    Column("kind", String, primary_key=True),
    Column("path", String, primary_key=True),
    Column("study_uid", String, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("study_uid", String, ForeignKey("studies.study_uid"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("model_id", String, nullable=False),
    Column("package_digest", String, nullable=False),
    Column("series_uids", Text, nullable=False),
    Column("input_digest", String, nullable=False),
    Column("destinations", Text, nullable=False),
    Column("destination", String, nullable=False),
    Column("parent_id", Integer, ForeignKey("jobs.job_id")),
    Column("attempts", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("worker", String, nullable=False),
    Column("run_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("reason", Text, nullable=False),
    Column("outcome", String),
    Column("summary", Text, nullable=False, server_default=""),
    Column("timings", Text, nullable=False, server_default="{}"),
    Column("missing", Text, nullable=False, server_default="[]"),
    Column("priority", Integer, nullable=False, server_default="2"),  # domain.jobs.Priority
    Column("shadow", Integer, nullable=False, server_default="0"),  # 1: the answer is kept here and goes nowhere
    Index("jobs_queue", "state", "kind", "priority", "run_at", "destination"),
    Index("jobs_state", "state"),  # in the order of their numbers
    Index("jobs_study", "study_uid"),
    Index("jobs_parent", "parent_id"),
    Index("jobs_shadow", "study_uid", "model_id", "state", sqlite_where=text(IN_SHADOW), postgresql_where=text(IN_SHADOW)),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("artifact_id", Integer, primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.job_id"), nullable=False),
    Column("role", String, nullable=False),
    Column("path", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("series_uid", String, nullable=False),
    Index("artifacts_job", "job_id"),
)

sent = Table(  # what the other side said, one row per instance and attempt
    "sent",
    metadata,
    Column("sent_id", Integer, primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.job_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("sent_job", "job_id"),
    Index("sent_instance", "sop_instance_uid"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("event", String, nullable=False),
    Column("study_uid", String, nullable=False),
    Column("job_id", Integer),
    Column("actor", String, nullable=False),
    Column("details", Text, nullable=False),
    Column("hash", String, nullable=False),
    Index("audit_study", "study_uid"),
    Index("audit_event", "event", sqlite_where=text(NOT_STORED), postgresql_where=text(NOT_STORED)),
    Index("audit_job", "job_id", sqlite_where=text("job_id IS NOT NULL"), postgresql_where=text("job_id IS NOT NULL")),
)

audit_head = Table(  # one row: how many there are, and the hash of the last
    "audit_head",
    metadata,
    Column("head_id", Integer, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("hash", String, nullable=False),
)

audit_forwarding = Table(  # one row at most: how far the log was sent to an audit repository
    "audit_forwarding",
    metadata,
    Column("forwarding_id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),  # need not be sent again
    Column("offered", BigInteger, nullable=False),  # the last that was sent
    Column("at", BigInteger),
    Column("words", Text, nullable=False),  # why it does not go on
    Column("since", BigInteger),
)
