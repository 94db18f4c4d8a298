"""What the real services would bill for what the embedded ones are asked."""
