"""The database: the only shared state. Transactions, compare-and-swap, tables and migrations."""
