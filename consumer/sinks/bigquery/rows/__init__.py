"""From a record to a row: its table, its time, its cells, or the reason why it has none."""
