"""What all tests need."""

import signal

# A shell makes processes in its background ignore Ctrl-C, and Python leaves that as it is; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
