"""`bin/bench`: what the parts cost, measured on this machine; nothing of it is part of the daemon."""
