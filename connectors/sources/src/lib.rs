//! Sources that connectors read: delimited files and workbooks.
