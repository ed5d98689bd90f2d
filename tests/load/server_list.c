#include "load/server_list.h"

#include <string.h>

#define NAME_BYTES 32u

/* Takes the first name off a list with commas; false: there is none, or it is longer than any server's. */
static bool take_name(const char **names, char name[NAME_BYTES])
{
    size_t size;

    *names += strspn(*names, ",");
    size = strcspn(*names, ",");
    if (size == 0 || size >= NAME_BYTES)
        return false;
    memcpy(name, *names, size);
    name[size] = '\0';
    *names += size;
    return true;
}

static void append(struct server_list *list, const struct server_kind *kind)
{
    REQUIRE(list->count < CONTENDERS_MAX);
    list->kinds[list->count++] = kind;
}

static bool ask_one(struct server_list *list, const char *name, char reason[SERVER_LIST_REASON_BYTES])
{
    const struct server_kind *kind = server_kind_find(name);

    if (kind == NULL)
        (void)snprintf(reason, SERVER_LIST_REASON_BYTES, "there is no server called '%s'", name);
    else if (!server_kind_is_there(kind))
        (void)snprintf(reason, SERVER_LIST_REASON_BYTES, "%s cannot be measured: its program %s is not there%s", name,
                       kind->program, strcmp(name, "hauskv") == 0 ? ", or not where HAUSKV_SERVER says" : "");
    else if (list->count == CONTENDERS_MAX)
        (void)snprintf(reason, SERVER_LIST_REASON_BYTES, "more than %u servers cannot take part", CONTENDERS_MAX);
    else {
        append(list, kind);
        return true;
    }
    return false;
}

bool server_list_ask(struct server_list *list, const char *names, char reason[SERVER_LIST_REASON_BYTES])
{
    unsigned before = list->count;
    char name[NAME_BYTES];

    while (take_name(&names, name)) {
        if (!ask_one(list, name, reason))
            return false;
    }
    if (*names != '\0' || list->count == before) {
        (void)snprintf(reason, SERVER_LIST_REASON_BYTES, "'%.64s' does not begin with the name of a server", names);
        return false;
    }
    return true;
}

void server_list_add_present(struct server_list *list, const char *names, FILE *output)
{
    char name[NAME_BYTES];

    while (take_name(&names, name)) {
        const struct server_kind *kind = server_kind_find(name);

        REQUIRE(kind != NULL);
        if (server_kind_is_there(kind))
            append(list, kind);
        else
            (void)fprintf(output, "%s is not installed and left out.\n", name);
    }
}
