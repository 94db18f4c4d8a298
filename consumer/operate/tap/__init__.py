"""`bin/tap`: a sample of what a running daemon delivers, as it goes."""
