"""What trading is: values in, values out. No Django, no I/O, no clock, no threads."""
