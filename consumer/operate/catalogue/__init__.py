"""`bin/athena-ddl`: the table of Athena over the objects that the settings make, as a statement and in Glue."""
