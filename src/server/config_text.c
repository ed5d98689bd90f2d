/* Numbers with units, and texts that are fit to be shown. */
#include <stdarg.h>

#include "platform/decimal.h"
#include "platform/utf8.h"

#include "config_internal.h"

const struct unit size_units[] = {
    {"g", UINT64_C(1) << 30}, {"m", UINT64_C(1) << 20}, {"k", UINT64_C(1) << 10}, {"", 1},
    {"G", UINT64_C(1) << 30}, {"M", UINT64_C(1) << 20}, {"K", UINT64_C(1) << 10}, {NULL, 0},
};

const struct unit duration_units[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1000}, {NULL, 0},
};

const struct unit plain_units[] = {
    {"", 1},
    {NULL, 0},
};

bool config_parse_size(const char *text, uint64_t *size_bytes)
{
    return unit_parse(text, size_units, size_bytes);
}

bool config_parse_duration(const char *text, uint64_t *duration_ms)
{
    return unit_parse(text, duration_units, duration_ms);
}

bool unit_parse(const char *text, const struct unit *units, uint64_t *number)
{
    size_t digits = strspn(text, "0123456789");
    const struct unit *unit = units;
    uint64_t count;

    if (digits == 0 || (text[0] == '0' && digits > 1))
        return false;
    while (unit->name != NULL && strcmp(unit->name, text + digits) != 0)
        unit++;
    if (unit->name == NULL)
        return false;
    if (!decimal_read(bytes_from(text, digits), &count) || count > UINT64_MAX / unit->factor)
        *number = UINT64_MAX;
    else
        *number = count * unit->factor;
    return true;
}

void unit_print(uint64_t number, const struct unit *units, char text[UNIT_TEXT_BYTES])
{
    const struct unit *unit = units;

    if (number == 0) {
        (void)snprintf(text, UNIT_TEXT_BYTES, "0");
        return;
    }
    while (number % unit->factor != 0)
        unit++;
    (void)snprintf(text, UNIT_TEXT_BYTES, "%ju%s", (uintmax_t)(number / unit->factor), unit->name);
}

struct quoted quote(const char *text)
{
    return quote_bytes(bytes_from_string(text));
}

struct quoted quote_bytes(struct bytes bytes)
{
    static const char cut[] = "...";
    struct quoted quoted;
    size_t size = 0;
    size_t offset = 0;

    while (offset < bytes.size) {
        uint32_t character = 0;
        size_t length = utf8_decode(bytes, offset, &character);
        bool is_shown = length > 0 && character >= 0x20 && (character < 0x7f || character > 0x9f);
        size_t shown_size = is_shown ? length : sizeof "\\xNN" - 1;

        if (size + shown_size > sizeof(quoted.text) - sizeof cut) {
            memcpy(quoted.text + size, cut, sizeof cut);
            return quoted;
        }
        if (is_shown)
            memcpy(quoted.text + size, bytes.data + offset, length);
        else
            (void)snprintf(quoted.text + size, sizeof "\\xNN", "\\x%02x", (unsigned)bytes.data[offset]);
        size += shown_size;
        offset += is_shown ? length : 1;
    }
    quoted.text[size] = '\0';
    return quoted;
}

bool config_refuse(char reason[CONFIG_REASON_BYTES], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, CONFIG_REASON_BYTES, format, arguments);
    va_end(arguments);
    return false;
}
