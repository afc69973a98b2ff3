//! Validates, seals and publishes batches and answers receipts; keeps the quarantine.
