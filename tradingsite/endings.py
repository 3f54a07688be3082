"""That this process is a worker which was told to end: work on its threads, which no signal reaches, gives way."""

import threading

worker_ends = threading.Event()
