#include "support/store_random.h"

#include <stdlib.h>

void store_content_fill(unsigned char *data, size_t size, uint64_t number)
{
    struct store_random random = {number * 2};
    uint64_t word = number;

    for (size_t filled = 0; filled < size; filled += sizeof(word)) {
        size_t room = size - filled;

        memcpy(data + filled, &word, room < sizeof(word) ? room : sizeof(word));
        word = store_random_next(&random);
    }
}

bool store_content_is(struct bytes value, size_t size, uint64_t number)
{
    struct store_random random = {number * 2};
    uint64_t word = number;

    if (value.size != size)
        return false;
    for (size_t seen = 0; seen < size; seen += sizeof(word)) {
        size_t room = size - seen;

        if (memcmp(value.data + seen, &word, room < sizeof(word) ? room : sizeof(word)) != 0)
            return false;
        word = store_random_next(&random);
    }
    return true;
}

uint64_t store_environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}
