from .logs import Comparison as Comparison
from .logs import is_comparison as is_comparison
from .logs import read_comparison as read_comparison
from .report import write_comparison as write_comparison
