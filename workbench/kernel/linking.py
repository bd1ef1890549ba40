"""Linking the plain functions of `kernel` and of schemes into entry points of compiled code.

numba optimises every function with all it calls, then its caller with all that, and so on up: two
thirds of the time go into code that nobody runs. Here only the entry point is optimised.
"""

from __future__ import annotations

import contextlib
import re
import types as python_types
from collections.abc import Callable

from llvmlite.binding import Linkage, create_pass_builder, create_pipeline_tuning_options
from numba import types
from numba.core import compiler, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.registry import CPUDispatcher, cpu_target

from . import hooks as hooks_module
from .compiled_types import call_hook, prefetch

INLINE = 1500  # LLVM's measure of how large a function may be to be copied into its caller
# modules and functions of the kernel that seldom run, by the linker's names: what leads to them
# stays out of the hot code's way
RARE = re.compile(
    r"_ZN9workbench6kernel\d+((oom|ubc|cache|numa|virtual|granules|zonelife)\d|counters\d+sayB"
    r"|replay\d+(boot|take_sample|other_event|counted_touch|lock_range|die)B)"
)
OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}
LINKED = OPTIONS | {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class Part(JITCodeLibrary):
    """The code of a linked function: only ever a part of an entry point, not to be run itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


class Whole(JITCodeLibrary):
    """An entry point with its parts: nobody else's, so that most are inlined and forgotten."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and not function.is_declaration:
                function.linkage = Linkage.internal
                if RARE.match(function.name):
                    function.add_function_attribute("noinline")
                    function.add_function_attribute("cold")
        options = create_pipeline_tuning_options(speed_level=3)
        options.inlining_threshold = INLINE
        options.loop_vectorization = options.slp_vectorization = False  # there is nothing to win
        builder = create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)


class Lean(compiler.CompilerBase):
    """The passes of numba's pipeline that the compiled subset of Python needs."""

    rewrites: tuple = ()

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("workbench")
        for step in (
            untyped_passes.TranslateByteCode, untyped_passes.FixupArgs,
            untyped_passes.IRProcessing, *self.rewrites, untyped_passes.ReconstructSSA,
            typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis,
            typed_passes.IRLegalization, typed_passes.NativeLowering,
            typed_passes.NoPythonBackend,
        ):
            passes.add_pass(step, step._name)
        passes.finalize()
        return [passes]


class LeanOwn(Lean):
    """And what `raise` and `assert` in a user's hook need."""

    rewrites = (untyped_passes.GenericRewrites,)


class Linked(CPUDispatcher):
    """A linked function: a part of whatever entry point asks for it. A constant among its
    arguments makes no copy of its own."""

    def compile(self, sig):
        with compiling(Part):
            return super().compile(sig)

    def get_call_template(self, args, kws):
        return super().get_call_template(tuple(types.unliteral(arg) for arg in args), kws)


@contextlib.contextmanager
def compiling(library: type):
    """What numba compiles in here becomes such a library."""
    codegen = cpu_target.target_context.codegen()
    with global_compiler_lock:
        outer = codegen._library_class, codegen.set_env
        codegen._library_class = library
        if library is Part:
            codegen.set_env = lambda name, env: None
        try:
            yield
        finally:
            codegen._library_class, codegen.set_env = outer


linked: dict[Callable, object] = {
    hooks_module.call_hook: call_hook,
    hooks_module.prefetch: prefetch,
}


def compile_plain(function: Callable):
    """The numba twin of a plain function and, with it, of every function of ours it calls."""
    if function not in linked:
        scope = {"__builtins__": __builtins__, "__name__": function.__module__}
        for name in function.__code__.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, python_types.FunctionType) or value in linked_callables():
                scope[name] = compile_plain(value)
            elif name in function.__globals__:
                scope[name] = value
        twin = python_types.FunctionType(function.__code__, scope, function.__name__)
        if "__own__" in function.__globals__:
            options = LINKED | {"error_model": "python"}  # division by zero is a mistake
            linked[function] = Linked(twin, targetoptions=options, pipeline_class=LeanOwn)
        else:
            linked[function] = Linked(twin, targetoptions=LINKED, pipeline_class=Lean)
    return linked[function]


def linked_callables() -> set:
    return {f for f in linked if callable(f)}
