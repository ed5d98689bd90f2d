/* The end of the control socket that asks: --inspect and --dump. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control_internal.h"
#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/file.h"

#define CONNECT_POLL_NS (20L * 1000 * 1000)

struct question {
    const char *name; /* of the server */
    int descriptor;
    unsigned char input[CONTROL_PIECE_BYTES];
    size_t begin; /* of what was received and not taken yet */
    size_t end;
    bool is_answered; /* something came */
};

static enum control_answer refuse(const struct question *question, const char *what)
{
    diagnostic_error("%s: %s", question->name, what);
    return CONTROL_FAILED;
}

/* Returns 0 or the number of the error. The queue of a server that does not accept may be full. */
static int connect_within(int descriptor, const struct address *address)
{
    const struct timespec pause = {.tv_nsec = CONNECT_POLL_NS};
    uint64_t begun_ms = clock_monotonic_ms();

    while (connect(descriptor, &address->socket.any, address->size) != 0) {
        if (errno != EAGAIN && errno != EINTR)
            return errno;
        if (clock_monotonic_ms() - begun_ms >= CONTROL_ANSWER_MS)
            return ETIMEDOUT;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* Receives more. False: nothing came in time, or the end; standard error was told. */
static bool receive(struct question *question)
{
    struct pollfd descriptor = {.fd = question->descriptor, .events = POLLIN};
    int ready;
    ssize_t size;

    question->begin = 0;
    question->end = 0;
    do
        ready = poll(&descriptor, 1, (int)(question->is_answered ? CONTROL_SILENCE_MS : CONTROL_ANSWER_MS));
    while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        (void)refuse(question, question->is_answered
                                   ? "the answer ended early: nothing came any more"
                                   : "a server has this segment, but does not answer: it is stopped, or none of its "
                                     "processes is free");
        return false;
    }
    size = recv(question->descriptor, question->input, sizeof question->input, 0);
    if (size <= 0) {
        (void)refuse(question, "the answer ended early: the process that gave it has ended");
        return false;
    }
    question->is_answered = true;
    question->end = (size_t)size;
    return true;
}

/* A line without its end. False: standard error was told why there is none. */
static bool take_line(struct question *question, char line[CONTROL_LINE_BYTES])
{
    for (size_t size = 0; size < CONTROL_LINE_BYTES; size++) {
        if (question->begin == question->end && !receive(question))
            return false;
        line[size] = (char)question->input[question->begin++];
        if (line[size] == '\n') {
            line[size] = '\0';
            return true;
        }
    }
    (void)refuse(question, "the answer is not one of a server");
    return false;
}

/* Copies a piece of output. */
static bool copy_piece(struct question *question, unsigned long long left)
{
    while (left > 0) {
        struct bytes piece;
        int error;

        if (question->begin == question->end && !receive(question))
            return false;
        piece.size = question->end - question->begin < left ? question->end - question->begin : (size_t)left;
        piece.data = question->input + question->begin;
        question->begin += piece.size;
        left -= piece.size;
        error = file_write(STDOUT_FILENO, piece);
        if (error != 0) {
            diagnostic_error("The answer cannot be written: %s", strerror(error));
            return false;
        }
    }
    return true;
}

static enum control_answer take_end(const struct question *question, const char *rest, int *exit_status)
{
    char *words;
    long status = strtol(rest, &words, 10);

    if (words == rest || status < 0 || status > 255)
        return refuse(question, "the answer is not one of a server");
    *exit_status = (int)status;
    words += *words == ' ';
    if (*words != '\0' && status == 0)
        diagnostic_info("%s", words);
    else if (*words != '\0')
        diagnostic_error("%s: %s", question->name, words);
    return CONTROL_ANSWERED;
}

static enum control_answer take_answer(struct question *question, int *exit_status)
{
    char line[CONTROL_LINE_BYTES];

    while (take_line(question, line)) {
        if (strncmp(line, "end ", 4) == 0)
            return take_end(question, line + 4, exit_status);
        if (strncmp(line, "output ", 7) != 0)
            return refuse(question, "the answer is not one of a server");
        if (!copy_piece(question, strtoull(line + 7, NULL, 10)))
            break;
    }
    return CONTROL_FAILED;
}

static enum control_answer converse(struct question *question, const struct address *address, const char *request,
                                    int *exit_status)
{
    int error = connect_within(question->descriptor, address);
    char line[CONTROL_LINE_BYTES];
    int size = snprintf(line, sizeof line, CONTROL_GREETING "%s\n", request);

    if (error == ENOENT || error == ECONNREFUSED)
        return CONTROL_NOBODY;
    if (error == ETIMEDOUT)
        return refuse(question, "a server has this segment, but does not answer: none of its processes is free");
    if (error == EACCES || error == EPERM)
        return refuse(question, "the server belongs to another user");
    if (error != 0)
        return refuse(question, strerror(error));
    /* A server that refuses us may have closed already: what it said can still be read. */
    (void)send(question->descriptor, line, (size_t)size, MSG_NOSIGNAL);
    return take_answer(question, exit_status);
}

enum control_answer control_ask(const struct control_place *place, const char *request, int *exit_status)
{
    static struct question question;
    struct address address;
    enum control_answer answer = CONTROL_NOBODY;
    int directory;

    question = (struct question){.name = place->name, .descriptor = -1};
    if (!control_address(place, &address, &directory))
        return CONTROL_NOBODY; /* what it is will be said of the segment */
    question.descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (question.descriptor < 0)
        answer = refuse(&question, strerror(errno));
    else
        answer = converse(&question, &address, request, exit_status);
    (void)file_close(&question.descriptor);
    (void)file_close(&directory);
    return answer;
}
