#include "json_check.h"

#include <string.h>

static void check_characters(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        ENSURE(text.data[i] >= 0x20 && text.data[i] < 0x7f);
}

static void check_members(const cJSON *value)
{
    for (const cJSON *child = value->child; child != NULL; child = child->next) {
        for (const cJSON *later = child->next; cJSON_IsObject(value) && later != NULL; later = later->next)
            ENSURE(strcmp(child->string, later->string) != 0);
        check_members(child);
    }
}

cJSON *json_check(struct bytes text)
{
    const char *end = NULL;
    cJSON *value = cJSON_ParseWithLengthOpts((const char *)text.data, text.size, &end, false);

    check_characters(text);
    ENSURE(value != NULL);
    ENSURE(end == (const char *)text.data + text.size);
    check_members(value);
    return value;
}

/* The dialect echo says "message", the others "mesg". */
static void check_error(const cJSON *message)
{
    const cJSON *code;

    ENSURE(message != NULL && cJSON_IsString(message) && message->valuestring[0] != '\0');
    ENSURE(strcmp(message->string, "mesg") == 0 || strcmp(message->string, "message") == 0);
    code = message->next;
    ENSURE(code != NULL && cJSON_IsString(code) && strcmp(code->string, "code") == 0 && code->next == NULL);
}

static size_t count_members(const cJSON *first)
{
    size_t count = 0;

    for (; first != NULL; first = first->next)
        count++;
    return count;
}

void json_check_reply(struct bytes line)
{
    cJSON *reply = json_check(line);
    const cJSON *status = reply->child;

    ENSURE(cJSON_IsObject(reply) && status != NULL && strcmp(status->string, "status") == 0);
    ENSURE(cJSON_IsString(status));
    if (strcmp(status->valuestring, "Error") == 0)
        check_error(status->next);
    else
        ENSURE(strcmp(status->valuestring, "Ok") == 0 && count_members(status->next) <= 2);
    cJSON_Delete(reply);
}
