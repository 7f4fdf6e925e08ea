"""What all tests need."""

import signal

# A shell makes processes in its background ignore Ctrl-C, which Python leaves as it is; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
