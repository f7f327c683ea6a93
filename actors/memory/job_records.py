"""Records of the system shard as JSON values; of jobs, both ways."""

from __future__ import annotations

from typing import Any

from actors.memory.requests import JobStatus, JobView


def fields_of(record: Any) -> dict[str, Any]:
    """A record's own fields."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def job_to_fields(job: JobView) -> dict[str, Any]:
    """A job as JSON values; `job_from_fields` is the inverse. Progress is not recorded."""
    fields = {**fields_of(job), "status": job.status.value, "args": dict(job.args)}
    del fields["progress"]
    return fields


def job_from_fields(fields: dict[str, Any]) -> JobView:
    status = JobStatus(fields["status"])
    done = 1.0 if status is JobStatus.SUCCEEDED else 0.0
    return JobView(**{**fields, "status": status, "progress": done})
