"""Where hosts find the recognizer of personal data, and what they make it of when it is not there."""

from __future__ import annotations

from actors.redactor_actor import RecognizerPlace
from actors.remote_actor import ActorAddress
from cluster.capacity import ray_options
from cluster.directory import NAMESPACE, REDACTOR
from cluster.settings import Settings
from cluster.specs import recognizer_spec


def recognizer_place(settings: Settings) -> RecognizerPlace:
    options = ray_options(settings.cluster.redactor_resources)
    return RecognizerPlace(ActorAddress(NAMESPACE, REDACTOR), recognizer_spec(settings), options)
