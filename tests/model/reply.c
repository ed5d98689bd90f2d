#include "model/reply.h"

#include "model/model_store.h"

void reply_reset(struct reply *reply)
{
    reply->status = STATUS_OK;
    reply->was_open = true;
    reply->value.size = 0;
    store_keys_clear(&reply->keys);
    reply->number = 0;
    reply->conflict_key = bytes_from(NULL, 0);
}

void reply_deinit(struct reply *reply)
{
    store_buffer_deinit(&reply->value);
    store_keys_deinit(&reply->keys);
}

const char *reply_difference(const struct reply *engine, const struct reply *model,
                             const struct store_session *session)
{
    if (engine->status != model->status)
        return "the status differs";
    if (engine->was_open != model->was_open)
        return "only one could be expired";
    if (!bytes_equal(store_buffer_bytes(&engine->value), store_buffer_bytes(&model->value)))
        return "the value differs";
    if (!store_keys_equal(&engine->keys, &model->keys))
        return "the keys differ";
    if (engine->number != model->number)
        return "the cursor or count differs";
    if (engine->status == STATUS_CONFLICT && !model_store_conflict_may_name(session, engine->conflict_key))
        return "the conflict names something that did not change";
    return NULL;
}
