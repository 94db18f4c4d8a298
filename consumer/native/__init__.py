"""What is done to every byte of every record, in C: optional, since Python decides whatever C is not sure of."""
