//! Operational store: receipts, idempotency, quarantine index, connector checkpoints, reports, audit chain.
