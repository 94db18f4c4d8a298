/* `processRecords` messages of the MultiLang protocol: their records as columns. */
#include "native.h"

typedef enum { PARSED = 0, UNSURE = 1, MORE_RECORDS = 2, UNFINISHED = 3 } parse_result;

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

/* Of a UTF-8 sequence of two bytes or more; 0 where it is none. */
static uint64_t sequence_size(const byte *place) {
    byte first = place[0], second = place[1];
    if (first < 0xC2 || first > 0xF4) return 0;
    byte least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80; /* below it is overlong, */
    byte most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;  /* and above a surrogate or no Unicode */
    if (second < least || second > most) return 0;
    uint64_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    for (uint64_t at = 2; at < size; at++)
        if ((place[at] & 0xC0) != 0x80) return 0;
    return size;
}

/* The four hex digits of an escape; -1 where there are others. */
static int32_t code_unit(const byte *hex) {
    int32_t value = 0;
    for (int place = 0; place < 4; place++) {
        byte letter = hex[place] | 0x20;
        if (is_digit(hex[place])) value = value << 4 | (hex[place] - '0');
        else if (letter >= 'a' && letter <= 'f') value = value << 4 | (letter - 'a' + 10);
        else return -1;
    }
    return value;
}

/* `place` is behind the backslash. Half of a pair counts as a character of its own. */
static const byte *unescape(const byte *place, byte **out) {
    static const byte letters[256] = {['"'] = '"', ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                      ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    if (*place != 'u') {
        byte letter = letters[*place];
        if (!letter) return NULL;
        *(*out)++ = letter;
        return place + 1;
    }
    int32_t value = code_unit(place + 1);
    if (value < 0) return NULL;
    place += 5;
    if (value >= 0xD800 && value < 0xDC00 && place[0] == '\\' && place[1] == 'u') {
        int32_t low = code_unit(place + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
            place += 6;
        }
    }
    *out = put_code_point(*out, (uint32_t)value);
    return place;
}

/* A text from behind its opening quote to behind its closing one, written without escapes: never longer than with them.
 * Byte by byte: it is for the few texts that have some. */
static const byte *unescaped(const byte *place, byte **out) {
    while (*place != '"') {
        if (*place == '\\') {
            place = unescape(place + 1, out);
            if (!place) return NULL;
            continue;
        }
        if (*place < 0x20) return NULL;
        uint64_t size = *place < 0x80 ? 1 : sequence_size(place);
        if (!size) return NULL;
        while (size--) *(*out)++ = *place++;
    }
    return place + 1;
}

/* Its span in the line or, unescaped, where the record's labels will stand. */
static const byte *partition_key(const byte *place, const byte *limit, const record_columns *out, span *key) {
    int has_escape = 0, is_ascii = 1;
    if (*place++ != '"') return NULL;
    const byte *end = json_string(place, limit, &has_escape, &is_ascii);
    if (LIKELY(end && !has_escape)) {
        *key = (span){place, (uint64_t)(end - place - 1)};
        return end;
    }
    if (!has_escape) return NULL;
    byte *label = out->labels + out->label_bytes, *written = label;
    end = unescaped(place, &written);
    *key = (span){label, (uint64_t)(written - label)};
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
            place = partition_key(place, limit, out, &key);
        } else if (IS_NAMED(name, "sequenceNumber")) {
            member = SEQUENCE;
            place = plain_string(place, limit, &sequence);
        } else if (IS_NAMED(name, "subSequenceNumber")) {
            member = SUB_SEQUENCE;
            place = unsigned_number(place, &sub_sequence);
        } else if (IS_NAMED(name, "approximateArrivalTimestamp")) {
            member = ARRIVAL;
            place = unsigned_number(place, &arrival);
            if (arrival > LAST_TIME_MS) return NULL;
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
    byte *label = out->labels + out->label_bytes;
    if (key.begin != label) memcpy(label, key.begin, key.size);
    memcpy(label + key.size, sequence.begin, sequence.size);
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
enum { AT_BEGIN = 0, AT_MEMBER = 1, BEHIND_MEMBER = 2, AT_RECORD = 3, BEHIND_RECORD = 4 };

static void move_to(message_progress *progress, int stage, const byte *line, const byte *place) {
    progress->stage = stage;
    progress->offset = (uint64_t)(place - line);
}

/* The quote that closes a text, from behind the opening one; NULL where there is none before the end. */
static const byte *closing_quote(const byte *place, const byte *end) {
    for (const byte *quote; (quote = memchr(place, '"', (size_t)(end - place))); place = quote + 1) {
        const byte *before = quote;
        while (before > place && before[-1] == '\\') before--;
        if ((quote - before) % 2 == 0) return quote;
    }
    return NULL;
}

/* Why nothing came of what begins at `place`, a member, a record or what separates them: it is UNFINISHED where the line
 * does not reach to the comma or bracket behind it, whatever it holds before. */
static parse_result why_not(const byte *place, const byte *limit) {
    uint64_t depth = 0;
    for (const byte *end = limit - 1; place < end; place++) {
        if (*place == '"') {
            place = closing_quote(place + 1, end);
            if (!place) return UNFINISHED;
        } else if (*place == '{' || *place == '[') {
            depth++;
        } else if (*place == '}' || *place == ']') {
            if (!depth--) return UNSURE;
        } else if (*place == ',' && !depth) {
            return UNSURE;
        }
    }
    return UNFINISHED;
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
        if (then.has_records++ || *place != '[') return UNSURE;
        place = json_space(place + 1);
        if (*place != '{' && *place != ']') return UNSURE;
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

/* To the end of the message: there `place` is at its closing bracket, which has to be the last of the line. */
static parse_result message(const byte *line, const byte *limit, uint64_t capacity, record_columns *out,
                            message_progress *progress) {
    if (progress->stage == AT_BEGIN) {
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
        if (result != PARSED) return result;
        if (progress->stage != BEHIND_MEMBER) continue;
        const byte *place = line + progress->offset;
        if (*place == '}') return place + 2 == limit && progress->has_action && progress->has_records ? PARSED : UNSURE;
        if (*place++ != ',') return UNSURE;
        move_to(progress, AT_MEMBER, line, place);
    }
}

/* Reads on in a line at `progress`, whose stage is AT_BEGIN for a new one, and moves it past what is read. The line ends
 * with its line end; or it is what there is of one, with a line end that is not its own: then PARSED is nothing to go
 * by, and the next call goes on with more of it. What was passed may be left out then, with `offset` made as much less.
 * UNSURE is for what stands at `progress` alone: it goes on behind that once somebody else has read it and added it to
 * the columns. Room for `capacity` records, for one more of the sums, and in `text` and in `labels` for as many bytes
 * as the line has behind `progress`, and SLACK; after MORE_RECORDS go on with more. `millis_behind` becomes -1 where it
 * is null or missing. */
EXPORT int parse_records(const byte *line, uint64_t size, uint64_t capacity, record_columns *out,
                         message_progress *progress) {
    const byte *limit = line + size;
    if (!size || limit[-1] != '\n' || size > UINT32_MAX / 2) return UNSURE;
    parse_result result = message(line, limit, capacity, out, progress);
    if (result == UNSURE && progress->stage != AT_BEGIN) result = why_not(line + progress->offset, limit);
    return (int)result;
}
