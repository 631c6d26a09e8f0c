"""What the business talks about: exact prices and money, instruments, streams and ticks. Pure."""
