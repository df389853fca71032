//! What evenkeel reports: findings, evidence, fates, tables and charts.
