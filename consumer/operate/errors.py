"""Why a command that acts on an application does not."""


class Refused(Exception):
    """Nothing is changed, or nothing more, until its user has mended what the message says in one line."""
