//! SQL sessions: secure tables, the barrier, statement allow-list, aggregate guard.
