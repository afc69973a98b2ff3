//! The information catalogue: 73 items, their Arrow schemas, code tables and field checks.
