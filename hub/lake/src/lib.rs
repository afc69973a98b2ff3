//! Delta tables per item: changes, current, compaction, point index, exactly once from the bus.
