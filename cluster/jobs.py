"""Jobs: recorded in the system shard, run as processes of their own by Ray's job API.

A job reports how it goes to the system host itself (`jobs/run.py`). What a process could not report,
because it was killed or never started, is found out from Ray when the job is looked at.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol

from ray.job_submission import JobStatus as RayJobStatus
from ray.job_submission import JobSubmissionClient

from actors.errors import InvalidRequest, MemosError, Unavailable
from actors.memory.governance import Caller
from actors.memory.ports import Clock
from actors.memory.requests import JobStatus, JobView, Page
from cluster.calling import RetryRule, repeated
from cluster.directory import SYSTEM, Directory

ENTRYPOINT = "jobs.run"
GRACE_US = 60 * 1_000_000
"""How long after its record a job's process may be unknown to Ray before it counts as lost."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def module_of(name: str) -> str:
    """The module that a job's name stands for: `promote_kv` is jobs.promote_kv, `bench_locomo` jobs.bench.locomo.

    Raises InvalidRequest for a name that no module answers to.
    """
    if _NAME.fullmatch(name) and len(name) <= 64:
        group, _, rest = name.partition("_")
        for module in (f"jobs.{name}", f"jobs.{group}.{rest}" if rest else ""):
            if module and module != ENTRYPOINT and _exists(module):
                return module
    raise InvalidRequest(f"there is no job named {name[:64]!r}", job=name[:64])


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its package is missing
        return False


class Processes(Protocol):
    """Starts, stops and watches the processes of jobs. Methods block."""

    def start(self, job_id: str, environment: Mapping[str, str]) -> None:
        """Raises Unavailable when it cannot be started."""
        ...

    def stop(self, job_id: str) -> None: ...

    def state(self, job_id: str) -> tuple[JobStatus, str] | None:
        """Status and reason as the process manager knows them; None when it does not know the job."""
        ...

    def logs(self, job_id: str) -> str: ...


@dataclass(frozen=True, slots=True)
class JobRunner:
    """`url` is where a job finds the HTTP interface."""

    directory: Directory
    processes: Processes
    clock: Clock
    url: str
    retry: RetryRule = field(default_factory=RetryRule)

    async def submit(self, caller: Caller, name: str, cube_id: str, args: Mapping[str, Any]) -> JobView:
        """Record the job and start its process, which acts with a key of the caller's that expires in a day."""
        module_of(name)
        job: JobView
        job, secret = await self.directory.call(SYSTEM, "create_job", caller, name, cube_id, args)
        environment = {"MEMOS_URL": self.url, "MEMOS_API_KEY": secret}
        try:
            await asyncio.to_thread(self.processes.start, job.id, environment)
        except MemosError as error:
            await self._advance(job.id, JobStatus.FAILED, error.detail)
            raise
        return job

    async def list(self, caller: Caller, limit: int, cursor: str | None) -> Page[JobView]:
        page: Page[JobView] = await self._system("list_jobs", caller, limit, cursor)
        return Page(tuple([await self._settled(job) for job in page.items]), page.next)

    async def read(self, caller: Caller, job_id: str) -> JobView:
        return await self._settled(await self._system("read_job", caller, job_id))

    async def logs(self, caller: Caller, job_id: str) -> str:
        job: JobView = await self._system("read_job", caller, job_id)
        return await asyncio.to_thread(self.processes.logs, job.id)

    async def stop(self, caller: Caller, job_id: str) -> JobView:
        """Stop the process; a job that has ended stays as it ended."""
        job = await self.read(caller, job_id)
        if job.status.ended:
            return job
        await asyncio.to_thread(self.processes.stop, job.id)
        return await self._advance(job.id, JobStatus.STOPPED, f"stopped by {caller.principal}")

    async def _settled(self, job: JobView) -> JobView:
        """The job, its end recorded if its process ended without telling."""
        if job.status.ended:
            return job
        known = await asyncio.to_thread(self.processes.state, job.id)
        if known is None:
            if self.clock.now_us() - job.created_at_us < GRACE_US:
                return job
            return await self._advance(job.id, JobStatus.FAILED, "its process is gone: the system was restarted")
        status, reason = known
        return await self._advance(job.id, status, reason) if status.ended else job

    async def _advance(self, job_id: str, status: JobStatus, reason: str) -> JobView:
        job: JobView = await self._system("advance_job", job_id, status, reason)
        return job

    async def _system(self, method: str, *args: Any) -> Any:
        return await repeated(self.retry, lambda: self.directory.call(SYSTEM, method, *args))


_STATES = {
    RayJobStatus.PENDING: JobStatus.QUEUED,
    RayJobStatus.RUNNING: JobStatus.RUNNING,
    RayJobStatus.SUCCEEDED: JobStatus.FAILED,  # it would have recorded its own success
    RayJobStatus.FAILED: JobStatus.FAILED,
    RayJobStatus.STOPPED: JobStatus.STOPPED,
}


class RayJobs:
    """Processes on Ray's job API."""

    def __init__(self, dashboard_url: str) -> None:
        self._url = dashboard_url
        self._known: JobSubmissionClient | None = None

    def start(self, job_id: str, environment: Mapping[str, str]) -> None:
        try:
            self._client().submit_job(
                entrypoint=f"{sys.executable} -m {ENTRYPOINT} {job_id}",
                submission_id=job_id,
                runtime_env={"env_vars": dict(environment)},
            )
        except (RuntimeError, ConnectionError) as error:
            raise Unavailable(f"the job could not be started: {_first_line(error)}", retry_after_s=5) from error

    def stop(self, job_id: str) -> None:
        if self.state(job_id) is not None:
            self._client().stop_job(job_id)

    def state(self, job_id: str) -> tuple[JobStatus, str] | None:
        try:
            info = self._client().get_job_info(job_id)
        except ConnectionError as error:
            raise Unavailable("Ray's job interface does not answer", retry_after_s=5) from error
        except RuntimeError:  # how the client says that there is no such job
            return None
        return _STATES[info.status], (info.message or "its process ended without a report")[:500]

    def logs(self, job_id: str) -> str:
        try:
            return str(self._client().get_job_logs(job_id))
        except ConnectionError as error:
            raise Unavailable("Ray's job interface does not answer", retry_after_s=5) from error
        except RuntimeError:
            return ""

    def _client(self) -> JobSubmissionClient:
        if self._known is None:
            self._known = JobSubmissionClient(self._url)
        return self._known


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
