//! Functions that a session has. Everything else of the engine does not exist for it.
//!
//! Left out on purpose: table functions (files, series), functions that tell about the engine (`version`,
//! `arrow_typeof`), that allocate by argument (`repeat`, `lpad`, `rpad`), that grow text without bound (`replace`,
//! `regexp_replace`), that are volatile (`random`, `uuid`), that build containers (`make_array`, `named_struct`,
//! `array_agg`, `string_agg`), and hashes.

/// Scalar functions.
pub(crate) const SCALAR: &[&str] = &[
    "ascii", "bit_length", "btrim", "character_length", "coalesce", "concat", "concat_ws", "contains", "current_date",
    "date_bin", "date_part", "date_trunc", "ends_with", "find_in_set", "greatest", "initcap", "least", "left", "levenshtein",
    "lower", "ltrim", "make_date", "now", "nullif", "nvl", "nvl2", "octet_length", "regexp_count", "regexp_like",
    "reverse", "right", "rtrim", "split_part", "starts_with", "strpos", "substr", "substr_index", "to_char", "to_date",
    "to_timestamp", "to_timestamp_millis", "translate", "upper", "date_format", "position", "trim",
];

/// Aggregate functions.
pub(crate) const AGGREGATE: &[&str] = &[
    "approx_distinct", "approx_median", "approx_percentile_cont", "avg", "bool_and", "bool_or", "corr", "count",
    "covar_pop", "covar_samp", "first_value", "grouping", "last_value", "max", "median", "min", "nth_value",
    "percentile_cont", "stddev", "stddev_pop", "sum", "var", "var_pop",
];

/// Window functions.
pub(crate) const WINDOW: &[&str] = &[
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "percent_rank", "rank",
    "row_number",
];

/// Functions that join texts; see `Limits::text_growth_max`.
pub(crate) const JOINS_TEXT: &[&str] = &["concat", "concat_ws"];
