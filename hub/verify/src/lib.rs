//! Verification of households' economic status (computation.md): members, income, property, categories, reports.
