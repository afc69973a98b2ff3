//! Decides per field how a principal may see it, from Cedar policies.
