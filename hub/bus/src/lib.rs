//! The durable log between intake and lake: trait, embedded engine, contract suite.
