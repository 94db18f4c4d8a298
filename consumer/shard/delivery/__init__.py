"""From records to durable chunks."""
