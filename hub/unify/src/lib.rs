//! No code: pins the features that the whole workspace's dependencies resolve to. See the manifest.
