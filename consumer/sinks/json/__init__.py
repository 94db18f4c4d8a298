"""JSON as it came: judged once, on its bytes, before anything else reads it."""
