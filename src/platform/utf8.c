/* The well-formed sequences (RFC 3629, section 4):
 *
 *     00..7F
 *     C2..DF 80..BF
 *     E0 A0..BF 80..BF | E1..EC 80..BF 80..BF | ED 80..9F 80..BF | EE..EF 80..BF 80..BF
 *     F0 90..BF (80..BF)x2 | F1..F3 (80..BF)x3 | F4 80..8F (80..BF)x2
 *
 * The narrowed second bytes are what keeps out overlong forms, surrogates and
 * code points above U+10FFFF; here that is said by the code point itself. */
#include "platform/utf8.h"

#include <string.h>

#define EIGHT_HIGH_BITS UINT64_C(0x8080808080808080)

static size_t skip_ascii(struct bytes bytes, size_t offset);
static bool code_point_is_valid(uint32_t code_point, size_t length);

/* The last eight bytes overlap those before. */
static bool is_ascii(struct bytes bytes)
{
    uint64_t all = 0;
    uint64_t eight;

    if (bytes.size < sizeof eight)
        return skip_ascii(bytes, 0) == bytes.size;
    for (size_t offset = 0; offset < bytes.size - sizeof eight; offset += sizeof eight) {
        memcpy(&eight, bytes.data + offset, sizeof eight);
        all |= eight;
    }
    memcpy(&eight, bytes.data + bytes.size - sizeof eight, sizeof eight);
    return ((all | eight) & EIGHT_HIGH_BITS) == 0;
}

bool utf8_is_valid(struct bytes bytes)
{
    size_t offset = 0;

    if (is_ascii(bytes))
        return true;
    while (offset < bytes.size) {
        uint32_t code_point;
        size_t length = utf8_decode(bytes, offset, &code_point);

        if (length == 0)
            return false;
        offset = skip_ascii(bytes, offset + length);
    }
    return true;
}

size_t utf8_decode(struct bytes bytes, size_t offset, uint32_t *code_point)
{
    static const unsigned char first_bits[UTF8_SEQUENCE_BYTES_MAX + 1] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *sequence;
    size_t length;
    uint32_t decoded;

    REQUIRE(offset < bytes.size);
    sequence = bytes.data + offset;
    length = utf8_sequence_size(sequence[0]);
    if (length == 0 || length > bytes.size - offset)
        return 0;

    decoded = sequence[0] & first_bits[length];
    for (size_t i = 1; i < length; i++) {
        if ((sequence[i] & 0xc0) != 0x80)
            return 0;
        decoded = decoded << 6 | (sequence[i] & 0x3f);
    }
    if (!code_point_is_valid(decoded, length))
        return 0;
    *code_point = decoded;
    return length;
}

size_t utf8_sequence_size(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc0)
        return 0;
    if (first < 0xe0)
        return 2;
    if (first < 0xf0)
        return 3;
    return first < 0xf8 ? 4 : 0;
}

/* Most text is ASCII: eight bytes at a time. */
static size_t skip_ascii(struct bytes bytes, size_t offset)
{
    while (bytes.size - offset >= sizeof(uint64_t)) {
        uint64_t eight;

        memcpy(&eight, bytes.data + offset, sizeof eight);
        if (eight & EIGHT_HIGH_BITS)
            break;
        offset += sizeof eight;
    }
    while (offset < bytes.size && bytes.data[offset] < 0x80)
        offset++;
    return offset;
}

static bool code_point_is_valid(uint32_t code_point, size_t length)
{
    static const uint32_t smallest_of_length[UTF8_SEQUENCE_BYTES_MAX + 1] = {0, 0, 0x80, 0x800, 0x10000};
    bool overlong = code_point < smallest_of_length[length];
    bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;

    return !overlong && !surrogate && code_point <= 0x10ffff;
}
