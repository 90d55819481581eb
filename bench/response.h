/* HTTP responses, as far as the loads of this directory have to know them: whether one is whole, and what it says.
 *
 * A response has a Content-Length or is chunked, and fits into RESPONSE_LIMIT.
 *
 * Knows: heads, lengths, the last chunk. Must not know: sockets, and who asked.
 */
#ifndef RESPONSE_H
#define RESPONSE_H
#include "load.h"

#define RESPONSE_LIMIT (64 * 1024)

struct response {
    size_t size; /* of what has come of it */
    char bytes[RESPONSE_LIMIT + 1];
};

/* The value of a field of the head; `name` begins with the line end before it. */
static const char *field(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    if (!found) return NULL;
    found += strlen(name);
    return found + strspn(found, " ");
}

/* 1: the response is whole. 0: more must come. -1: it cannot be read. */
static int whole(struct response *r, int *closes) {
    char *end = memmem(r->bytes, r->size, "\r\n\r\n", 4);
    const char *value;
    size_t head;
    int complete;
    if (!end) return r->size < RESPONSE_LIMIT ? 0 : -1;
    head = (size_t)(end - r->bytes) + 4;
    end[2] = 0; /* the head is a string now, with the end of its last line */
    value = field(r->bytes, "\r\nconnection:");
    *closes = value && !strncasecmp(value, "close", 5);
    if ((value = field(r->bytes, "\r\ncontent-length:")))
        complete = r->size - head >= strtoull(value, NULL, 10);
    else if ((value = field(r->bytes, "\r\ntransfer-encoding:")) && !strncasecmp(value, "chunked", 7))
        complete = r->size >= head + 5 && !memcmp(r->bytes + r->size - 5, "0\r\n\r\n", 5);
    else
        return -1;
    end[2] = '\r';
    return complete ? 1 : r->size < RESPONSE_LIMIT ? 0 : -1;
}

/* Of one that is whole. */
static void count_response(const struct response *r, double latency) {
    if (memcmp(r->bytes, "HTTP/1.", 7) || (r->bytes[9] != '2' && r->bytes[9] != '3')) tally.refused++;
    count_answer(latency);
}

#endif
