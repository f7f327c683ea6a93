"""Adapters of the audit's table."""

from actors.stores.audit.delta import DeltaAuditTable
from actors.stores.audit.plain import PlainAuditStorage, PlainAuditTable

__all__ = ["DeltaAuditTable", "PlainAuditStorage", "PlainAuditTable"]
