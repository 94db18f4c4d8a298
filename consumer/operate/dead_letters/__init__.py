"""Dead letters that come back: listed, shown, delivered again, discarded."""
