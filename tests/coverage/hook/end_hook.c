/* Linked into programs of the coverage build only, with -Wl,--wrap for each function below: a process that is about to
 * end by one of them writes its counters first, which the compiler's own hook does for exit() alone. What is killed by
 * another process writes nothing. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the compiler and the linker want these names. */
void __gcov_dump(void);
void __gcov_reset(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);
int __real_raise(int signal_number);
int __wrap_raise(int signal_number);

_Noreturn void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}

_Noreturn void __wrap_abort(void)
{
    __gcov_dump();
    __gcov_reset(); /* a handler of SIGABRT may go on */
    __real_abort();
}

int __wrap_raise(int signal_number)
{
    __gcov_dump();
    __gcov_reset();
    return __real_raise(signal_number);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
