#!/usr/bin/env python
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        sys.exit(f"Django is not installed in this Python ({error}); run `make demo` or activate .venv first.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
