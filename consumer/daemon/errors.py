"""What ends the daemon before or instead of its work."""


class StartFailed(Exception):
    """The daemon cannot start until someone mends something; each of `messages` is one line for its operator."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        super().__init__("\n".join(messages))
