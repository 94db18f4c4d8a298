/* `processRecords` messages of the MultiLang protocol: their records as columns. */
#include "native.h"

typedef enum { PARSED = 0, UNSURE = 1, MORE_RECORDS = 2 } parse_result;

/* A text without escapes: its span, or an empty one with begin NULL. */
static const byte *plain_string(const byte *place, const byte *limit, span *found) {
    int has_escape = 0, is_ascii = 1;
    if (*place != '"') return NULL;
    const byte *end = json_string(place + 1, limit, &has_escape, &is_ascii);
    if (!end || has_escape) return NULL;
    found->begin = place + 1;
    found->size = (uint64_t)(end - place - 2);
    return end;
}

static const byte *unsigned_number(const byte *place, uint64_t *found) {
    const byte *start = place;
    uint64_t value = 0;
    while ((byte)(*place - '0') < 10) value = value * 10 + (uint64_t)(*place++ - '0');
    if (place == start || place - start > 18 || (*start == '0' && place - start > 1)) return NULL;
    *found = value;
    return place;
}

static inline int is_named(span name, const char *expected, uint64_t size) {
    return name.size == size && !memcmp(name.begin, expected, size);
}
#define IS_NAMED(name, literal) is_named(name, literal, sizeof(literal) - 1)

/* A text of the KCL in base64; the quote is looked for first, since that is fast and says how much there is. */
static const byte *payload(const byte *place, const byte *limit, record_columns *out) {
    if (*place != '"') return NULL;
    const byte *begin = place + 1;
    const byte *end = memchr(begin, '"', (size_t)(limit - begin));
    if (!end) return NULL;
    int64_t size = base64_decode(begin, (uint64_t)(end - begin), out->text + out->text_bytes);
    if (size < 0 || size > UINT32_MAX / 2) return NULL;
    out->sizes[out->count] = (uint32_t)size;
    return end + 1;
}

enum { DATA = 1, KEY = 2, SEQUENCE = 4, SUB_SEQUENCE = 8, ARRIVAL = 16, ALL_OF_A_RECORD = 31 };

/* One record; what is in `out` counts once `out->count` does. */
static const byte *record(const byte *place, const byte *limit, record_columns *out) {
    int seen = 0;
    span key = {0}, sequence = {0};
    uint64_t sub_sequence = 0, arrival = 0;
    if (*place++ != '{') return NULL;
    for (;;) {
        span name;
        int member = 0;
        place = plain_string(place, limit, &name);
        if (!place || *place++ != ':') return NULL;
        if (IS_NAMED(name, "data")) {
            member = DATA;
            place = payload(place, limit, out);
        } else if (IS_NAMED(name, "partitionKey")) {
            member = KEY;
            place = plain_string(place, limit, &key);
        } else if (IS_NAMED(name, "sequenceNumber")) {
            member = SEQUENCE;
            place = plain_string(place, limit, &sequence);
        } else if (IS_NAMED(name, "subSequenceNumber")) {
            member = SUB_SEQUENCE;
            place = unsigned_number(place, &sub_sequence);
        } else if (IS_NAMED(name, "approximateArrivalTimestamp")) {
            member = ARRIVAL;
            place = unsigned_number(place, &arrival);
        } else {
            place = json_value(place, limit);
        }
        if (!place || (seen & member)) return NULL;
        seen |= member;
        if (*place == '}') break;
        if (*place++ != ',') return NULL;
    }
    if (seen != ALL_OF_A_RECORD) return NULL;
    uint64_t index = out->count;
    out->text_bytes += out->sizes[index];
    out->text[out->text_bytes++] = '\n';
    memcpy(out->labels + out->label_bytes, key.begin, key.size);
    memcpy(out->labels + out->label_bytes + key.size, sequence.begin, sequence.size);
    out->label_bytes += key.size + sequence.size;
    out->key_sizes[index] = (uint32_t)key.size;
    out->sequence_sizes[index] = (uint32_t)sequence.size;
    out->sub_sequences[index] = sub_sequence;
    out->arrivals[index] = (int64_t)arrival;
    out->text_begins[index + 1] = out->text_bytes;
    out->label_begins[index + 1] = out->label_bytes;
    out->count++;
    return place + 1;
}

/* Where in a line reading goes on. */
enum { AT_MEMBER = 0, BEHIND_MEMBER = 1, AT_RECORD = 2, BEHIND_RECORD = 3 };

static void move_to(message_progress *progress, int stage, const byte *line, const byte *place) {
    progress->stage = stage;
    progress->offset = (uint64_t)(place - line);
}

/* To the end of the list, at a record or behind one. */
static parse_result records(const byte *line, const byte *limit, uint64_t capacity, record_columns *out,
                            message_progress *progress) {
    for (;;) {
        const byte *place = line + progress->offset;
        if (progress->stage == AT_RECORD) {
            if (out->count == capacity) return MORE_RECORDS;
            place = record(place, limit, out);
            if (!place) return UNSURE;
            move_to(progress, BEHIND_RECORD, line, place);
        }
        if (*place == ']') {
            move_to(progress, BEHIND_MEMBER, line, place + 1);
            return PARSED;
        }
        if (*place++ != ',') return UNSURE;
        move_to(progress, AT_RECORD, line, place);
    }
}

/* A member of the message, or its name and the beginning of the list for `records`. */
static parse_result member_of_message(const byte *line, const byte *limit, message_progress *progress) {
    const byte *place = line + progress->offset;
    message_progress then = *progress;
    span name;
    place = plain_string(place, limit, &name);
    if (!place || *place++ != ':') return UNSURE;
    if (IS_NAMED(name, "action")) {
        span action;
        place = plain_string(place, limit, &action);
        if (!place || then.has_action++ || !IS_NAMED(action, "processRecords")) return UNSURE;
    } else if (IS_NAMED(name, "records")) {
        if (then.has_records++ || *place++ != '[' || *place == '\n') return UNSURE;
        *progress = then;
        if (*place == ']') move_to(progress, BEHIND_MEMBER, line, place + 1);
        else move_to(progress, AT_RECORD, line, place);
        return PARSED;
    } else if (IS_NAMED(name, "millisBehindLatest")) {
        if (then.has_millis++) return UNSURE;
        uint64_t millis;
        const byte *end = unsigned_number(place, &millis);
        if (end) {
            then.millis_behind = (int64_t)millis;
            place = end;
        } else if (*place != 'n' || !(place = json_value(place, limit))) {
            return UNSURE;
        }
    } else {
        place = json_value(place, limit);
        if (!place) return UNSURE;
    }
    /* what ends where the text does may go on behind it */
    if (*place != ',' && *place != '}') return UNSURE;
    *progress = then;
    move_to(progress, BEHIND_MEMBER, line, place);
    return PARSED;
}

/* A line with its line end; or the beginning of one, with a line end that is not its own, as far as that goes: then the
 * answer is nothing to go by, but the records that are complete are in `out`, and a call with more of the line goes on
 * behind them. `progress` has offset 0 for a new line. Room for `capacity` records, for one more of the sums, and in
 * `text` and in `labels` for as many bytes as the line has, and SLACK; after MORE_RECORDS go on with more.
 * `millis_behind` becomes -1 where it is null or missing. */
EXPORT int parse_records(const byte *line, uint64_t size, uint64_t capacity, record_columns *out,
                         message_progress *progress) {
    const byte *limit = line + size;
    if (size < 2 || limit[-1] != '\n' || size > UINT32_MAX / 2) return UNSURE;
    if (!progress->offset) {
        out->text_bytes = out->label_bytes = out->count = 0;
        out->text_begins[0] = out->label_begins[0] = 0;
        *progress = (message_progress){.millis_behind = -1};
        if (*line != '{') return UNSURE;
        move_to(progress, AT_MEMBER, line, line + 1);
    }
    for (;;) {
        parse_result result = PARSED;
        if (progress->stage == AT_MEMBER) result = member_of_message(line, limit, progress);
        else if (progress->stage != BEHIND_MEMBER) result = records(line, limit, capacity, out, progress);
        if (result != PARSED) return (int)result;
        if (progress->stage != BEHIND_MEMBER) continue;
        const byte *place = line + progress->offset;
        if (*place == '}') return place + 2 == limit && progress->has_action && progress->has_records ? PARSED : UNSURE;
        if (*place++ != ',') return UNSURE;
        move_to(progress, AT_MEMBER, line, place);
    }
}
