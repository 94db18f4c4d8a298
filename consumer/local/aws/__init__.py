"""AWS on loopback: moto under hypercorn, its Kinesis corrected."""
