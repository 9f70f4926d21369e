"""What all tests share: properties are checked the same way every time, and no duration is ever judged."""

from hypothesis import settings

settings.register_profile("jitr", deadline=None, derandomize=True, database=None)
settings.load_profile("jitr")
