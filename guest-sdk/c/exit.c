/* exit() with its code. The adapter from a C library's exit to WASI 0.2 only distinguishes success and
 * failure; wasi:cli 0.2.12 has a function that takes the code. The linker drops this file from tasks
 * that never exit. */
#ifdef __wasi__
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((import_module("wasi:cli/exit@0.2.12"), import_name("exit-with-code"))) void
st_internal_exit_with_code(int32_t code);

_Noreturn void _Exit(int code) {
    st_internal_exit_with_code(code & 0xFF);
    __builtin_unreachable();
}

_Noreturn void _exit(int code) {
    _Exit(code);
}
#endif
