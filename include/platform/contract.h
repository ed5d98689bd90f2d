/* Contracts, on in every build. A broken contract is a bug of ours, never a
 * client's mistake and never the world's: the process says what was broken and
 * aborts. Its death costs its own client only; what it left in shared memory is
 * recovered like any other death.
 *
 * REQUIRE   what a caller owes a function
 * ENSURE    what a function owes its caller
 * INVARIANT what is true in between */
#ifndef HAUSKV_PLATFORM_CONTRACT_H
#define HAUSKV_PLATFORM_CONTRACT_H

/* Writes one diagnostic line (never blocking) and aborts. Any process. */
_Noreturn void contract_failed(const char *kind, const char *condition, const char *file, int line);

#define CONTRACT_CHECK(kind, condition) \
    ((condition) ? (void)0 : contract_failed((kind), #condition, __FILE__, __LINE__))

#define REQUIRE(condition) CONTRACT_CHECK("require", condition)
#define ENSURE(condition) CONTRACT_CHECK("ensure", condition)
#define INVARIANT(condition) CONTRACT_CHECK("invariant", condition)

#endif
