"""What notebooks need besides the library: checked exercises, recorded figures, and a strict headless runner."""

from v2ir_lib.tutorial.exercises import check, close_to, equal_to
from v2ir_lib.tutorial.record import finish, record

__all__ = ["check", "close_to", "equal_to", "finish", "record"]
