//! Connector framework: sources, declarative mappings, checkpoints, runner, gateway client.
