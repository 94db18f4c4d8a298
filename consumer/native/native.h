/* What the C files share, and the structures that library.py describes to ctypes.
 *
 * Nothing here allocates or knows Python, and no call leaves anything for the next: functions read one buffer and write
 * into others whose sizes they are told. Whatever they are not sure of they leave to Python, which decides about it;
 * "unsure" is never wrong.
 */
#ifndef CONSUMER_NATIVE_H
#define CONSUMER_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* PORTABLE takes the plain C everywhere, to test it where there are vectors. */
#if defined(__SSE2__) && !defined(PORTABLE)
#define USE_VECTORS 1
#include <emmintrin.h>
#else
#define USE_VECTORS 0
#endif

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

typedef uint8_t byte;

/* Bytes that may be written past the end of what is asked for, since whole vectors are stored. */
enum { SLACK = 64 };

typedef struct {
    const byte *begin;
    uint64_t size;
} span;

/* Records as domain/records.py keeps them: payload i is followed by one line end in `text`, its partition key and its
 * sequence number stand in `labels`. */
typedef struct {
    byte *text;
    byte *labels;
    uint32_t *sizes;
    uint32_t *key_sizes;
    uint32_t *sequence_sizes;
    uint64_t *sub_sequences;
    int64_t *arrivals;
    uint64_t text_bytes;
    uint64_t label_bytes;
    uint64_t count;
} record_columns;

/* json.c: `limit` is the end of the readable buffer; a line end stands somewhere before it, where scanning ends at the
 * latest. Each function returns where it has come to, or NULL where the text is not, or not surely, what it looks for. */
const byte *json_value(const byte *place, const byte *limit);
const byte *json_string(const byte *place, const byte *limit, int *has_escape, int *is_ascii);

static inline const byte *json_space(const byte *place) {
    while (*place == ' ' || *place == '\t') place++;
    return place;
}

/* base64.c: decodes `size` characters; returns the number of bytes written, -1 where they are no base64. Writes up to
 * SLACK bytes beyond them. */
int64_t base64_decode(const byte *text, uint64_t size, byte *out);

#endif
