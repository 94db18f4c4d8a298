"""BigQuery by load jobs: late, free of charge, and each row once."""
