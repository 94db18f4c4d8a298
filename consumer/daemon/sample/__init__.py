"""`bin/check --sample`: what would become of a file of records, and which settings fit them."""
