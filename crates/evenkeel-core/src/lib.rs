//! Sans-IO resilience policies and the call machine that composes them.
