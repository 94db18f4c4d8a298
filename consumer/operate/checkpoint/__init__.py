"""`checkpoint BACKEND`: where an application goes on reading, shown as times, and moved while no worker runs."""
