#include <string.h>

#include <criterion/criterion.h>

#include "server/address.h"

static const char *text_of(const struct address *address)
{
    static char text[ADDRESS_TEXT_BYTES];

    address_format(address, text);
    return text;
}

Test(address, ipv4_is_written_with_its_port)
{
    struct address address;

    cr_assert(address_of_host("127.0.0.1", 9888, &address));

    cr_assert_str_eq(text_of(&address), "127.0.0.1:9888");
    cr_assert_eq(address_port(&address), 9888);
}

Test(address, ipv6_is_written_in_brackets)
{
    struct address address;

    cr_assert(address_of_host("::1", 0, &address));
    address_set_port(&address, 65535);

    cr_assert_str_eq(text_of(&address), "[::1]:65535");
    cr_assert_eq(address_port(&address), 65535);
}

Test(address, path_has_no_port)
{
    struct address address;

    address_of_path("/run/hauskv.sock", &address);

    cr_assert_str_eq(text_of(&address), "/run/hauskv.sock");
    cr_assert_eq(address_port(&address), 0);
}

Test(address, names_are_no_addresses)
{
    struct address address;

    cr_assert_not(address_of_host("localhost", 1, &address));
    cr_assert_not(address_of_host("", 1, &address));
    cr_assert_not(address_of_host("127.0.0.1 ", 1, &address));
}
