"""The alarms, declared once, and the files of deploy/ that are made from them."""
