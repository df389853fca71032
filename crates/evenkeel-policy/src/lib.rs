//! The evenkeel policy file: written form, loading, checking, resolved form.
