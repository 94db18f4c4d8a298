"""`bin/chaos`: faults at random under a steady feed, and a checker that reads the backends themselves."""
