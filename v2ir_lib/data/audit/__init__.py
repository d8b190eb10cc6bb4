"""What is wrong with a data set, pair by pair: the preflight of training. Paper, §4."""

from v2ir_lib.data.audit.run import Audit, audit_manifest, audit_records

__all__ = ["Audit", "audit_manifest", "audit_records"]
