//! Two versions.
