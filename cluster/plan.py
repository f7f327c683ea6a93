"""What a starting instance tells its parts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cluster.settings import Settings

APP_NAME = "memos"
"""Of the Serve application."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An instance in the making. `url` is where HTTP will answer, `dashboard_url` where jobs are started.

    `deploy` names what deploys the Serve application, as "module:function"; it is called with the plan.
    Empty: none is deployed. `predecessor` is the instance that ran on the state before, and is gone.
    """

    instance: str
    settings: Settings
    url: str
    dashboard_url: str
    deploy: str = ""
    predecessor: str = ""

    def to_json(self) -> str:
        fields = {name: getattr(self, name) for name in _TEXTS}
        return json.dumps({**fields, "settings": self.settings.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        data = json.loads(text)
        return cls(**{**data, "settings": Settings.model_validate(data["settings"])})

    @property
    def state(self) -> Path:
        return self.settings.state_folder


_TEXTS = ("instance", "url", "dashboard_url", "deploy", "predecessor")
