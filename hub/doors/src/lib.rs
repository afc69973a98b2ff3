//! The doors: HTTP API with mutual TLS, rate limits, problems, audit.
