from .program import CallableMeaning as CallableMeaning
from .program import Compiled as Compiled
from .program import Function as Function
from .program import Language as Language
from .program import ProgramMeaning as ProgramMeaning
from .program import Signature as Signature
from .program import compile_program as compile_program
from .program import statements as statements
