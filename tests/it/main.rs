//! One integration binary; tests are its modules.
