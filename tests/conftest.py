"""No test fails for being slow: other work shares the machine. A failing random test prints how to repeat it."""

from hypothesis import settings

settings.register_profile("tests", deadline=None, print_blob=True)
settings.load_profile("tests")
