//! The evenkeel data plane: an HTTP proxy that keeps every request inside its bounds.
