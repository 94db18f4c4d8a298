"""What delivery would make of records, told without a backend."""
