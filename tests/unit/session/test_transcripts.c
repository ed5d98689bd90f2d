/* The conversations of the documents (tests/transcript/), byte for byte, against
 * the session itself, in every dialect in which they can be had. Lines: "> " is
 * sent, "< " and "<? " is the reply to it, "! " is sent and its reply thrown
 * away, # is a comment. A fresh server per file. */
#include "conversation.h"

#include <dirent.h>

/* The one in the words of DIALECT_ECHO. */
#define ECHO_FILE "001_readme_echo.txt"
#define OTHER_FILES 5u

enum delivery {
    DELIVERY_WITH_LF,
    DELIVERY_WITH_CRLF,
    DELIVERY_BYTE_BY_BYTE,
    DELIVERY_ALL_AT_ONCE,
    DELIVERY_WITHOUT_LINE_ENDS, /* one command a packet, under FRAMING_AUTO */
    DELIVERY_IN_ONE_BURST,      /* line ends only between commands, under FRAMING_AUTO */
    DELIVERY_COUNT
};

struct transcript {
    struct buffer sent;
    struct buffer wanted;
    struct conversation talk;
    enum delivery delivery;
};

static void folder_path(char *path, size_t size, const char *name)
{
    const char *behind_folder = strrchr(__FILE__, '/');

    (void)snprintf(path, size, "%.*s/../../transcript/%s", behind_folder == NULL ? 1 : (int)(behind_folder - __FILE__),
                   behind_folder == NULL ? "." : __FILE__, name);
}

static void send_now(struct transcript *transcript)
{
    struct session *session = &transcript->talk.session;
    struct bytes sent = buffer_bytes(&transcript->sent);

    for (size_t i = 0; transcript->delivery == DELIVERY_BYTE_BY_BYTE && i < sent.size; i++)
        session_feed(session, bytes_slice(sent, i, 1));
    if (transcript->delivery != DELIVERY_BYTE_BY_BYTE)
        session_feed(session, sent);
    conversation_fall_silent(&transcript->talk);
    buffer_truncate(&transcript->sent, 0);
}

static bool comes_all_at_once(enum delivery delivery)
{
    return delivery == DELIVERY_ALL_AT_ONCE || delivery == DELIVERY_IN_ONE_BURST;
}

static void prepare_line(struct transcript *transcript, const char *line)
{
    static const char *const ends[DELIVERY_COUNT] = {
        [DELIVERY_WITH_LF] = "\n",           [DELIVERY_WITH_CRLF] = "\r\n",
        [DELIVERY_BYTE_BY_BYTE] = "\n",      [DELIVERY_ALL_AT_ONCE] = "\n",
        [DELIVERY_WITHOUT_LINE_ENDS] = "", [DELIVERY_IN_ONE_BURST] = "",
    };
    bool is_joined = transcript->delivery == DELIVERY_IN_ONE_BURST && transcript->sent.size > 0;

    buffer_append_string(&transcript->sent, is_joined ? "\n" : "");
    buffer_append_string(&transcript->sent, line);
    buffer_append_string(&transcript->sent, ends[transcript->delivery]);
}

static void play_line(struct transcript *transcript, const char *line)
{
    bool is_sent = strncmp(line, "> ", 2) == 0 || strncmp(line, "! ", 2) == 0;

    if (line[0] == '#' || line[0] == '\0')
        return;
    if (is_sent) {
        prepare_line(transcript, line + 2);
    } else {
        cr_assert(strncmp(line, "< ", 2) == 0 || strncmp(line, "<? ", 3) == 0, "what is this: %s", line);
        buffer_append_string(&transcript->wanted, strchr(line, ' ') + 1);
        buffer_append_string(&transcript->wanted, "\n");
    }
    if (is_sent && !comes_all_at_once(transcript->delivery))
        send_now(transcript);
    if (line[0] == '!') {
        send_now(transcript);
        session_output_clear(&transcript->talk.session);
    }
}

static void play_one(const char *path, enum delivery delivery, enum dialect dialect)
{
    struct house house;
    struct transcript transcript;
    FILE *file = fopen(path, "r");
    char line[1024];
    const char *answered;

    cr_assert_not_null(file, "%s", path);
    memset(&transcript, 0, sizeof transcript);
    transcript.delivery = delivery;
    house_open(&house);
    conversation_prepare(&transcript.talk, &house);
    transcript.talk.config.dialect = dialect;
    transcript.talk.config.framing = delivery >= DELIVERY_WITHOUT_LINE_ENDS ? FRAMING_AUTO : FRAMING_LINE;
    session_init(&transcript.talk.session, &transcript.talk.config);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        play_line(&transcript, line);
    }
    send_now(&transcript);
    (void)fclose(file);

    buffer_append(&transcript.wanted, bytes_from("", 1));
    answered = conversation_take(&transcript.talk);
    cr_assert_str_eq(answered, (const char *)transcript.wanted.data, "%s, delivery %u, dialect %u:\n%s\nnot\n%s",
                     path, (unsigned)delivery, (unsigned)dialect, answered, (const char *)transcript.wanted.data);
    conversation_close(&transcript.talk);
    house_close(&house);
    buffer_deinit(&transcript.sent);
    buffer_deinit(&transcript.wanted);
}

static void play(const char *name, enum dialect dialect)
{
    char path[512];

    folder_path(path, sizeof path, name);
    for (unsigned delivery = 0; delivery < DELIVERY_COUNT; delivery++)
        play_one(path, (enum delivery)delivery, dialect);
}

Test(transcripts, pass_but_for_the_echo_dialect)
{
    char path[512];
    DIR *folder;
    const struct dirent *entry;
    unsigned played = 0;

    folder_path(path, sizeof path, "");
    folder = opendir(path);
    cr_assert_not_null(folder, "%s", path);
    while ((entry = readdir(folder)) != NULL) {
        if (strstr(entry->d_name, ".txt") == NULL || strcmp(entry->d_name, ECHO_FILE) == 0)
            continue;
        play(entry->d_name, DIALECT_DEFAULT);
        if (strstr(entry->d_name, "003_") == NULL) /* asks for a missing key */
            play(entry->d_name, DIALECT_MESSAGES);
        played++;
    }
    (void)closedir(folder);

    cr_assert_eq(played, OTHER_FILES);
}

Test(transcripts, of_the_echo_dialect_passes)
{
    play(ECHO_FILE, DIALECT_ECHO);
}
