#include "support/guarded_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include "platform/contract.h"

struct guarded_memory guarded_memory(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (bytes + page - 1) / page * page;
    unsigned char *mapped = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct guarded_memory memory;
    int result;

    REQUIRE(mapped != MAP_FAILED);
    memory.begin = mapped + page;
    memory.end = memory.begin + room;
    result = mprotect(memory.begin, room, PROT_READ | PROT_WRITE);
    REQUIRE(result == 0);
    return memory;
}
