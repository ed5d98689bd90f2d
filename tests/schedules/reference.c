#include "schedules/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "model/model_store.h"
#include "session/session.h"

#define STACK_BYTES ((size_t)256 << 10)
#define COMMAND_BYTES_MAX ((size_t)1 << 20)

/* The double of one actor. */
struct player {
    struct store_session *store;
    struct session_counters counters;
    struct session session;
    ucontext_t context;
    unsigned char *stack;
    struct act *act; /* that it is in the middle of; NULL: none */
    bool is_dying;
};

struct reference {
    const struct store_fixture *order_of;
    struct store_fixture model;
    _Atomic uint64_t last_transaction_id;
    struct player players[ACTORS_MAX];
    struct player *running;
    ucontext_t director;

    /* Of the forecast being made. */
    const struct scenario *scenario;
    const struct casting *casting;
    struct forecast *forecast;
    unsigned choices;
    bool may_wait;
};

struct reference *reference_create(const struct store_fixture *order_of)
{
    struct reference *reference = calloc(1, sizeof(*reference));

    REQUIRE(reference != NULL);
    reference->order_of = order_of;
    for (unsigned i = 0; i < ACTORS_MAX; i++) {
        reference->players[i].stack = malloc(STACK_BYTES);
        REQUIRE(reference->players[i].stack != NULL);
    }
    return reference;
}

void reference_destroy(struct reference *reference)
{
    for (unsigned i = 0; i < ACTORS_MAX; i++)
        free(reference->players[i].stack);
    free(reference);
}

/* --- players --- */

static void player_open(struct reference *reference, struct player *player)
{
    struct session_config config = {
        .store = reference->model.store,
        .last_transaction_id = &reference->last_transaction_id,
        .counters = &player->counters,
        .isolation = ISOLATION_SERIALIZABLE,
        .command_bytes_max = COMMAND_BYTES_MAX,
    };

    player->store = store_fixture_session(&reference->model);
    player->act = NULL;
    player->is_dying = false;
    config.store_session = player->store;
    session_init(&player->session, &config);
}

static void player_close(struct player *player)
{
    session_deinit(&player->session);
    store_session_close(player->store);
}

static void player_serve(struct player *player)
{
    session_feed(&player->session, bytes_from_string(player->act->lines));
    session_feed(&player->session, bytes_from_string("\n"));
}

/* makecontext hands over only numbers of the size of an int. */
static void player_main(unsigned high, unsigned low)
{
    player_serve((struct player *)(((uintptr_t)high << 32) | low));
}

/* The model's wait: everybody else goes on, until this one was served, or dies. */
static bool player_wait(void *context, const struct store_session *session)
{
    struct reference *reference = context;
    struct player *player = reference->running;
    int swapped;

    REQUIRE(player->store == session);
    if (player->is_dying)
        return false;
    swapped = swapcontext(&player->context, &reference->director);
    REQUIRE(swapped == 0);
    return !player->is_dying;
}

static void player_resume(struct reference *reference, struct player *player)
{
    int swapped;

    reference->running = player;
    swapped = swapcontext(&reference->director, &player->context);
    REQUIRE(swapped == 0);
}

static void player_start(struct reference *reference, struct player *player)
{
    uintptr_t number = (uintptr_t)player;
    int made;

    if (!reference->may_wait) {
        player_serve(player);
        return;
    }
    made = getcontext(&player->context);
    REQUIRE(made == 0);
    player->context.uc_stack.ss_sp = player->stack;
    player->context.uc_stack.ss_size = STACK_BYTES;
    player->context.uc_link = &reference->director;
    makecontext(&player->context, (void (*)(void))(uintptr_t)player_main, 2, (unsigned)(number >> 32),
                (unsigned)number);
    player_resume(reference, player);
}

static bool player_is_waiting(const struct player *player)
{
    return player->act != NULL && model_store_is_waiting(player->store);
}

/* --- acts --- */

static unsigned conflict_keys_of(const struct reference *reference, const struct player *player)
{
    const struct scenario *scenario = reference->scenario;
    unsigned keys = 0;

    for (unsigned i = 0; i < scenario->key_count; i++) {
        if (model_store_conflict_may_name(player->store, bytes_from_string(scenario->keys[i])))
            keys |= 1u << i;
    }
    if (model_store_conflict_may_name(player->store, bytes_from(NULL, 0)))
        keys |= 1u << scenario->key_count;
    return keys;
}

/* If the player has come to the end of its act: takes the reply. */
static void player_finish(struct reference *reference, struct player *player)
{
    struct act *act = player->act;
    struct bytes output;

    REQUIRE(act != NULL);
    if (player_is_waiting(player))
        return;
    output = session_output(&player->session);
    REQUIRE(output.data != NULL && output.size >= 1 && output.size <= sizeof act->reply);
    memcpy(act->reply, output.data, output.size - 1);
    act->reply[output.size - 1] = '\0';
    session_output_clear(&player->session);
    if (strstr(act->reply, "\"conflict\"") != NULL)
        act->conflict_keys = conflict_keys_of(reference, player);
    act->answered_by = player->is_dying ? ACT_NEVER : reference->forecast->act_count - 1;
    player->act = NULL;
}

/* Whoever was served and stands still, the first or second in the order in which they came; NULL: nobody. */
static struct player *player_served(struct reference *reference, unsigned place)
{
    struct player *first = NULL;
    struct player *second = NULL;

    for (unsigned i = 0; i < reference->scenario->session_count; i++) {
        struct player *player = &reference->players[i];

        if (player->act == NULL || player_is_waiting(player))
            continue;
        if (first == NULL || model_store_ticket(player->store) < model_store_ticket(first->store)) {
            second = first;
            first = player;
        } else if (second == NULL) {
            second = player;
        }
    }
    return place == 0 ? first : second;
}

/* Lets those go on whom the last act has served. */
static void settle(struct reference *reference)
{
    struct forecast *forecast = reference->forecast;
    struct player *next;

    while ((next = player_served(reference, 0)) != NULL) {
        struct player *other = player_served(reference, 1);

        if (other != NULL && (reference->choices >> forecast->choice_count++ & 1) != 0)
            next = other;
        player_resume(reference, next);
        player_finish(reference, next);
    }
}

static struct act *act_add(struct forecast *forecast, unsigned actor, int step)
{
    struct act *act = &forecast->acts[forecast->act_count];

    REQUIRE(forecast->act_count < ACTS_MAX);
    forecast->act_count++;
    act->actor = actor;
    act->step = step;
    act->is_death = false;
    act->line_count = 0;
    act->lines[0] = '\0';
    act->reply[0] = '\0';
    act->answered_by = ACT_NEVER;
    act->conflict_keys = 0;
    return act;
}

static void act_play(struct reference *reference, struct act *act)
{
    struct player *player = &reference->players[act->actor];

    player->act = act;
    player_start(reference, player);
    player_finish(reference, player);
    if (player->act != NULL)
        reference->forecast->has_waits = true;
    settle(reference);
}

static void play_text(struct reference *reference, unsigned actor, int step, const char *lines)
{
    struct act *act = act_add(reference->forecast, actor, step);
    int size = snprintf(act->lines, sizeof act->lines, "%s", lines);

    REQUIRE(size > 0 && (size_t)size < sizeof act->lines);
    act->line_count = 1;
    for (const char *rest = lines; (rest = strchr(rest, '\n')) != NULL; rest++)
        act->line_count++;
    act_play(reference, act);
}

/* What it held is given up, as the slot's drain does; a new process takes its place. */
static void player_die(struct reference *reference, struct player *player)
{
    player->is_dying = true;
    if (player->act != NULL) {
        player_resume(reference, player);
        player_finish(reference, player);
    }
    player_close(player);
    player_open(reference, player);
    settle(reference);
}

static bool play_turn(struct reference *reference, const struct turn *turn, unsigned *next)
{
    const struct scenario_step *step = &reference->scenario->sessions[turn->session].steps[*next];
    struct player *player = &reference->players[turn->session];
    bool is_death = turn->is_death || step_is_death(step);
    struct act *act;

    if (player->act != NULL && !is_death)
        return false;
    act = act_add(reference->forecast, turn->session, turn->is_death ? -1 : (int)*next);
    act->is_death = is_death;
    if (!turn->is_death)
        (*next)++;
    if (is_death) {
        player_die(reference, player);
        return true;
    }
    act->line_count = step_lines(step, reference->casting->levels[turn->session], act->lines, sizeof act->lines);
    act_play(reference, act);
    return true;
}

/* ROLLBACK for everybody; whoever waits comes after those for whom it waits. */
static void end_sessions(struct reference *reference)
{
    unsigned count = reference->scenario->session_count;
    bool has_ended[SCENARIO_SESSIONS_MAX] = {false};

    for (unsigned ended = 0; ended < count; ended++) {
        unsigned i = 0;

        while (i < count && (has_ended[i] || reference->players[i].act != NULL))
            i++;
        REQUIRE(i < count);
        play_text(reference, i, -1, "ROLLBACK");
        has_ended[i] = true;
    }
}

static void observe_and_remove(struct reference *reference)
{
    const struct scenario *scenario = reference->scenario;
    char lines[ACT_LINES_BYTES];
    size_t used = 0;

    for (unsigned i = 0; i < scenario->final_count; i++)
        play_text(reference, scenario->session_count, (int)i, scenario->finals[i].lines);
    for (unsigned i = 0; i < scenario->key_count; i++)
        used += (size_t)snprintf(lines + used, sizeof lines - used, "%sDEL %s", i > 0 ? "\n" : "", scenario->keys[i]);
    if (used > 0)
        play_text(reference, scenario->session_count, -1, lines);
}

/* --- a forecast --- */

static void open_house(struct reference *reference)
{
    store_fixture_open_model_of(&reference->model, reference->order_of);
    model_store_offer_locking(reference->model.store, reference->may_wait ? player_wait : NULL, reference);
    reference->last_transaction_id = 0;
    for (unsigned i = 0; i <= reference->scenario->session_count; i++)
        player_open(reference, &reference->players[i]);
}

static void close_house(struct reference *reference)
{
    for (unsigned i = 0; i <= reference->scenario->session_count; i++) {
        struct player *player = &reference->players[i];

        player->is_dying = true;
        if (player->act != NULL)
            player_resume(reference, player);
        player_close(player);
    }
    store_fixture_close(&reference->model);
}

bool reference_forecast(struct reference *reference, const struct scenario *scenario, const struct casting *casting,
                        const struct schedule *schedule, unsigned choices, struct forecast *forecast)
{
    unsigned next[SCENARIO_SESSIONS_MAX] = {0};
    bool can_happen = true;

    reference->scenario = scenario;
    reference->casting = casting;
    reference->choices = choices;
    reference->forecast = forecast;
    reference->may_wait = scenario_may_wait(scenario, casting);
    forecast->act_count = 0;
    forecast->choice_count = 0;
    forecast->has_waits = false;
    open_house(reference);
    if (scenario->setup[0] != '\0')
        play_text(reference, scenario->session_count, -1, scenario->setup);
    for (unsigned i = 0; can_happen && i < schedule->turn_count; i++)
        can_happen = play_turn(reference, &schedule->turns[i], &next[schedule->turns[i].session]);
    if (can_happen) {
        end_sessions(reference);
        observe_and_remove(reference);
    }
    close_house(reference);
    return can_happen;
}
