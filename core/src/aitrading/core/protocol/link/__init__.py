"""The link between a device and the data bridge: frames, messages, sessions without I/O.

`frames` turns bytes into frames and back, `messages` are the bodies of control frames, `events`
is what a session tells its owner, `session` holds both state machines. The bytes are final and
documented in docs/reference/formats.md.
"""
