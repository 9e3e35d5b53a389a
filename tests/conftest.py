"""What holds for the whole suite."""

import signal

# A shell's background jobs ignore Ctrl-C and hand that on, and then the tests of an interrupted command would fail.
signal.signal(signal.SIGINT, signal.default_int_handler)
