"""A plain loop of fused multiplications and additions in registers, a core a thread: what the arithmetic itself gives.

No memory is read, so nothing but the multipliers bounds it. LLVM compiles it for this processor when it is asked for;
no compiler is needed on the machine.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from clarity.inference.processor import instructions

_LOOP = """
declare {v} @llvm.fma.v{lanes}f32({v}, {v}, {v})
define void @loop(i64 %count, ptr %target) {{
start:
  br label %body
body:
  %i = phi i64 [0, %start], [%next, %body]
{entries}
{products}
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, %count
  br i1 %done, label %end, label %body
end:
{stores}
  ret void
}}
"""
_SUMS = 12
"""Independent of each other, as many as hide the latency of one (4 cycles on two units) and fit 16 registers."""


def loop(gflop: float, threads: int) -> Callable[[], object]:
    """``gflop`` billion operations in single precision, split over the threads; a multiplication and an addition are
    two. Needs the extra `bench` (llvmlite).
    """
    lanes = 16 if "avx512f" in instructions() else 8
    run, engine = _compiled(lanes)
    rounds = max(1, round(gflop * 1e9 / (2 * _SUMS * lanes * threads)))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fma")
    targets = [(ctypes.c_float * (_SUMS * lanes))() for _ in range(threads)]

    def together() -> object:
        list(pool.map(lambda target: run(rounds, ctypes.addressof(target)), targets))
        return engine, targets  # the code must live as long as what runs it

    return together


def _compiled(lanes: int) -> tuple[Callable[[int, int], None], object]:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=2
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(_source(lanes)), machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)  # lets other threads run meanwhile
    return kind(engine.get_function_address("loop")), engine


def _source(lanes: int) -> str:
    vector, numbers = f"<{lanes} x float>", range(_SUMS)
    factor, term = _constant(0.5, lanes), _constant(1.0, lanes)
    return _LOOP.format(
        v=vector,
        lanes=lanes,
        entries="\n".join(f"  %s{n} = phi {vector} [{_constant(n, lanes)}, %start], [%p{n}, %body]" for n in numbers),
        products="\n".join(
            f"  %p{n} = call {vector} @llvm.fma.v{lanes}f32({vector} %s{n}, {vector} {factor}, {vector} {term})"
            for n in numbers
        ),
        stores="\n".join(
            f"  %a{n} = getelementptr {vector}, ptr %target, i64 {n}\n  store {vector} %p{n}, ptr %a{n}, align 4"
            for n in numbers
        ),
    )


def _constant(value: float, lanes: int) -> str:
    return f"<{', '.join([f'float {float(value)}'] * lanes)}>"
