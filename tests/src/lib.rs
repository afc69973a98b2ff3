//! End-to-end tests of Minqiao.
