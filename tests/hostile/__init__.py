"""Payloads made to break whoever reads them, for the benches, bin/chaos and tests."""
