"""BigQuery by tabledata.insertAll: rows, requests, answers, and the connection they travel on."""
