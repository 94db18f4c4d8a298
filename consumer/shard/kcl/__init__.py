"""The conversation with the KCL: messages, callbacks, checkpoints."""
