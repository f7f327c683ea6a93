"""The state folder: its lock, its format, its secrets, and which instance runs on it.

STATE/format.json    version of the layout, number of shards; fixed when the state is created
STATE/instance.json  the instance that runs, or ran last
STATE/lock           held while an instance starts or stops
STATE/url  STATE/key where to reach it, and the first governor's key (0600)
STATE/secrets/       chain.key (seals the journal), ray.token (0600)
STATE/shards/        what is remembered
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.errors import ConfigError, Corrupted, NewerFormat, StateInUse, StorageUnavailable
from actors.memory.credentials import new_secret

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Instance:
    """A running system. `phase` is "starting", "ready" or "stopped"."""

    instance: str
    phase: str
    host: str
    boot: str
    url: str
    ray_address: str
    dashboard_port: int
    run_folder: str
    started_at_us: int
    deploy: str = ""


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The files of one state folder. Errors name the file."""

    path: Path

    @property
    def instance_file(self) -> Path:
        return self.path / "instance.json"

    @property
    def chain_key_file(self) -> Path:
        return self.path / "secrets" / "chain.key"

    @property
    def ray_token_file(self) -> Path:
        return self.path / "secrets" / "ray.token"

    @property
    def key_file(self) -> Path:
        return self.path / "key"

    @property
    def url_file(self) -> Path:
        return self.path / "url"

    def prepare(self) -> None:
        """Make the folder when it is missing, and make sure that we can write in it. Raises StorageUnavailable."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise StorageUnavailable(
                f"the state folder {self.path} cannot be written: {error.strerror}; choose another with --state",
                uri=str(self.path),
            ) from error

    def prepare_shared(self) -> bool:
        """Whether the folder can be written. For a cluster it may be read-only, a mounted secret, if key and chain key
        are in it. Raises ConfigError, naming what is missing.
        """
        try:
            self.prepare()
        except StorageUnavailable:
            self.check_secrets()
            return False
        return True

    def check_secrets(self) -> None:
        """Raise ConfigError, naming what is missing, when the keys are not there: where the folder does not last, or
        cannot be written, none are made.
        """
        missing = [str(file) for file in (self.chain_key_file, self.key_file) if not file.is_file()]
        if missing:
            raise ConfigError(
                f"the state folder lacks {' and '.join(missing)}: mount both, or set state.folder to where they are; "
                "`memos up` makes them in a folder that can be written",
                setting="state.folder",
            )

    def make_secrets(self) -> None:
        """The keys of a state, made with it: the governor's first, so that a start cut short makes the same one."""
        if not self.chain_key_file.exists() and not self.key_file.exists():
            write_private(self.key_file, new_secret(secrets.token_bytes).text + "\n")
        self.secret(self.chain_key_file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder while an instance starts or stops. Raises StateInUse when another process does."""
        with open(self.path / "lock", "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateInUse(
                    f"another `memos` is starting or stopping on {self.path}; wait for it, or choose another --state",
                    uri=str(self.path),
                ) from error
            yield

    def settle_format(self, shards: int) -> None:
        """Record layout and number of shards of a new state; refuse those of another one.

        Raises NewerFormat, ConfigError (another number of shards), Corrupted.
        """
        file = self.path / "format.json"
        if not file.exists():
            write_private(file, json.dumps({"format": FORMAT, "shards": shards}) + "\n")
            return
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            known = int(data["format"])
            recorded = int(data["shards"]) if known <= FORMAT else shards
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(f"{file} cannot be read as the state's format", file=str(file)) from error
        if known > FORMAT:
            raise NewerFormat(
                f"the state {self.path} has format {known}, this version knows up to {FORMAT}; use a newer version",
                uri=str(self.path),
            )
        if recorded != shards:
            raise ConfigError(
                f"cluster.shards is {shards}, but the state {self.path} was created with {recorded}; "
                f"set it to {recorded}",
                setting="cluster.shards",
            )

    def secret(self, file: Path, size: int = 32) -> str:
        """A secret of `size` random bytes in hex, made once. Raises Corrupted when the file is not one."""
        if not file.exists():
            file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(file, secrets.token_hex(size) + "\n")
        text = file.read_text(encoding="utf-8").strip()
        try:
            long_enough = len(bytes.fromhex(text)) == size
        except ValueError:
            long_enough = False
        if not long_enough:
            raise Corrupted(f"{file} does not hold the secret that was written there; restore it", file=str(file))
        return text

    def read_instance(self) -> Instance | None:
        """The instance that runs, or ran last; None when there was none. Raises Corrupted."""
        try:
            return Instance(**json.loads(self.instance_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise Corrupted(
                f"{self.instance_file} cannot be read; remove it once no process uses this state",
                file=str(self.instance_file),
            ) from error

    def write_instance(self, instance: Instance) -> None:
        write_private(self.instance_file, json.dumps(asdict(instance), indent=2) + "\n")


def write_private(file: Path, text: str) -> None:
    """Replace a file's text whole, readable by its owner alone, durably."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
