"""Where the record lives: SQLite or PostgreSQL, an append-only chain of events, keys, projections."""
