/* Feeds an input to the functions of the library in buffers of exactly the documented sizes, so that the compiler's
 * sanitizers see any byte read or written beside them, and looks at what the answers have to have in common. Aborts, with
 * a line that says why, where something is not as it should be.
 *
 * FUZZ_TARGET names what is fuzzed: json, base64, messages, write_rows, find_rows, find_groups or write_typed. The input of `messages`
 * is a line of the KCL's, that of `base64` a text; all others take payloads with SEPARATOR in between.
 */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>

#include "native.h"

/* The library's own, which it keeps to itself. */
#include "columns.c"
#include "fields.c"
#include "messages.c"
#include "routes.c"
#include "rows.c"

void index_columns(row_schema *);
int64_t array_bytes_of(const byte *, uint64_t, const row_schema *, const row_rules *);
void measure_typed(const row_schema *, const row_rules *, const row_places *, const uint32_t *, uint64_t, typed_layout *);
void write_typed(const row_schema *, const row_rules *, const row_places *, const uint32_t *, uint64_t, typed_layout *,
                 uint64_t, byte *);
uint64_t json_lines(const byte *, uint64_t, const uint32_t *, uint64_t);

enum { MOST_RECORDS = 64 };

enum { LINES, FINE_PAYLOADS, DECODED, PARSED_MESSAGES, PASSED, WRITTEN, LEFT, FOUND_ROWS, TYPED, GROUPED };
sureness was_sure[SURE_ABOUT] = {
    {"lines", 0}, {"fine", 0}, {"decoded", 0}, {"parsed", 0}, {"passed", 0}, {"written", 0}, {"left", 0}, {"found", 0}, {"typed", 0},
    {"grouped", 0},
};

static uint64_t state;

static uint64_t below(uint64_t end) { return number_below(&state, end); }

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "not true: %s\n", what);
    abort();
}

static void *room(uint64_t size) {
    void *made = malloc(size ? size : 1);
    check(made != NULL, "there is memory");
    return made;
}

static void *exactly(const void *from, uint64_t size) {
    /* not even one byte where none is said to be */
    void *copy = malloc(size);
    if (size) memcpy(copy, from, size);
    return copy;
}

/* Records of an input, as Python makes them of whatever it was given. */

static record_columns columns_of(const byte *data, uint64_t size) {
    uint64_t count = 1;
    for (uint64_t at = 0; at < size; at++) count += data[at] == SEPARATOR && count < MOST_RECORDS;
    record_columns made = {
        room(size + count), room(64 * count), room(4 * count), room(4 * count), room(4 * count), room(8 * count),
        room(8 * count),    NULL,             NULL,            0,               0,               count,
    };
    const byte *end = data + size;
    for (uint64_t index = 0; index < count; index++) {
        uint64_t left = (uint64_t)(end - data);
        const byte *stop = index + 1 < count ? memchr(data, SEPARATOR, left) : end;
        uint64_t length = (uint64_t)(stop - data);
        if (length) memcpy(made.text + made.text_bytes, data, length);
        made.sizes[index] = (uint32_t)length;
        made.text_bytes += length;
        made.text[made.text_bytes++] = '\n';
        data = stop + (stop < end);
        made.key_sizes[index] = (uint32_t)below(9);
        made.sequence_sizes[index] = (uint32_t)below(55);
        for (uint32_t more = made.key_sizes[index] + made.sequence_sizes[index]; more; more--)
            made.labels[made.label_bytes++] = (byte)(below(40) ? '0' + below(10) : below(256));
        made.sub_sequences[index] = below(2) ? below(UINT64_MAX) : below(5);
        made.arrivals[index] = below(9) ? (int64_t)(1700000000000 + below(3) * DAY_MS) : (int64_t)below(UINT64_MAX);
    }
    return made;
}

static void freed(record_columns *columns) {
    free(columns->text), free(columns->labels), free(columns->sizes), free(columns->key_sizes);
    free(columns->sequence_sizes), free(columns->sub_sequences), free(columns->arrivals);
    free(columns->text_begins), free(columns->label_begins);
}

/* The same in buffers that end where they do. */
static record_columns exact(record_columns from) {
    uint64_t count = from.count;
    record_columns made = {
        exactly(from.text, from.text_bytes),     exactly(from.labels, from.label_bytes),
        exactly(from.sizes, 4 * count),          exactly(from.key_sizes, 4 * count),
        exactly(from.sequence_sizes, 4 * count), exactly(from.sub_sequences, 8 * count),
        exactly(from.arrivals, 8 * count),       NULL,
        NULL,                                    from.text_bytes,
        from.label_bytes,                        count,
    };
    freed(&from);
    return made;
}

static span text_span(const char *text) { return (span){exactly(text, strlen(text)), strlen(text)}; }

static void forget_text(span text) { free((void *)(uintptr_t)text.begin); }

static row_rules some_rules(void) {
    row_rules rules = {
        .key_name = text_span("player_id"),
        .time_name = text_span("time"),
        .head = text_span("{\"insertId\":\"abc-1-"),
        .middle = text_span("\",\"json\":{\"player_id\":"),
        .time_head = text_span(",\"time\":\""),
        .log_head = text_span("\",\"log\":\""),
        .tail = text_span("\"}}"),
        .key_digits = below(3),
        .is_whole = (int64_t)below(2),
        .max_rows = 1 + below(4),
        .max_bytes = below(3) ? 1000000 : 50 + below(1500),
        .least_billed_bytes = 1024,
        .billed_bytes_beside = 10,
        .arrival_day = -1,
    };
    memcpy(rules.oldest_day, "2010-01-01", 10);
    memcpy(rules.newest_day, "2030-01-01", 10);
    return rules;
}

static void forget_rules(row_rules *rules) {
    span texts[] = {rules->key_name,  rules->time_name, rules->head, rules->middle,
                    rules->time_head, rules->log_head,  rules->tail};
    for (size_t place = 0; place < sizeof texts / sizeof *texts; place++) forget_text(texts[place]);
}

/* json.c, judge.c and fields.c */

static json_limits some_limits(void) {
    return (json_limits){SURE_DEPTH + 1 + below(3), below(2) ? INT64_MAX : SURE_NAME_BYTES, below(2), below(2)};
}

static void check_fields(const byte *payload, uint64_t size, const record_fields *found, int verdict, uint64_t offset) {
    int is_about_fields = found->verdict == NOT_AN_OBJECT || found->verdict == REPEATED_FIELD;
    check(is_about_fields ? verdict == FINE : (int)found->verdict == verdict, "judged alike where fields are read");
    check(verdict == FINE || found->offset == offset, "for the same token");
    check(found->offset <= size && found->key_begin + found->key_size <= size &&
              found->time_begin + found->time_size <= size,
          "fields are in the payload");
    check(!found->key_size || found->verdict || payload[found->key_begin] > ' ', "a value has no space before it");
}

static void fuzz_json(const byte *data, uint64_t size) {
    record_columns columns = exact(columns_of(data, size));
    row_rules rules = some_rules();
    json_limits limits = some_limits();
    byte *levels = room(limits.max_depth / 8 + 1);
    record_fields *fields = room(columns.count * sizeof *fields);
    uint64_t lines = json_lines(columns.text, columns.text_bytes, columns.sizes, columns.count), at = 0;
    check(lines <= columns.count, "no more lines than records");
    read_fields(&rules, &limits, levels, columns.text, columns.text_bytes, columns.sizes, columns.count, fields);
    for (uint64_t index = 0; index < columns.count; index++) {
        uint64_t bytes = columns.sizes[index] + 1u, offset = 0, is_line;
        byte *alone = exactly(columns.text + at, bytes);
        int verdict = judge_json(alone, bytes - 1, &limits, levels, &offset);
        is_line = json_lines(alone, bytes, &columns.sizes[index], 1);
        check(index > lines || is_line == (index < lines), "each line is one without its neighbours");
        check(!is_line || verdict == FINE, "a line is fine");
        check(offset < bytes, "a fault is in the payload, or where it ends");
        check_fields(alone, bytes - 1, &fields[index], verdict, offset);
        was_sure[FINE_PAYLOADS].times += verdict == FINE;
        free(alone);
        at += bytes;
    }
    was_sure[LINES].times += lines;
    free(levels), free(fields);
    forget_rules(&rules);
    freed(&columns);
}

/* base64.c */

static void fuzz_base64(const byte *data, uint64_t size) {
    byte *text = exactly(data, size), *out = room(size / 4 * 3 + SLACK);
    int64_t found = base64_decode(text, size, out);
    check(found >= -1 && found <= (int64_t)(size / 4 * 3), "no more bytes than the characters have");
    check(found < 0 || found >= (int64_t)(size / 4 * 3) - 2, "no fewer than with the most padding");
    was_sure[DECODED].times += found >= 0;
    free(text), free(out);
}

/* messages.c */

static record_columns with_room(uint64_t bytes, uint64_t capacity) {
    return (record_columns){
        room(bytes),        room(bytes),        room(4 * capacity),     room(4 * capacity),     room(4 * capacity),
        room(8 * capacity), room(8 * capacity), room(8 * capacity + 8), room(8 * capacity + 8), 0, 0, 0,
    };
}

static void *longer(void *from, uint64_t size, uint64_t more) {
    byte *made = room(size + more);
    memcpy(made, from, size);
    free(from);
    return made;
}

static void give_room(record_columns *columns, uint64_t capacity, uint64_t more) {
    uint64_t four = 4 * capacity, eight = 8 * capacity;
    columns->sizes = longer(columns->sizes, four, 4 * more);
    columns->key_sizes = longer(columns->key_sizes, four, 4 * more);
    columns->sequence_sizes = longer(columns->sequence_sizes, four, 4 * more);
    columns->sub_sequences = longer(columns->sub_sequences, eight, 8 * more);
    columns->arrivals = longer(columns->arrivals, eight, 8 * more);
    columns->text_begins = longer(columns->text_begins, eight + 8, 8 * more);
    columns->label_begins = longer(columns->label_begins, eight + 8, 8 * more);
}

typedef struct {
    record_columns columns;
    uint64_t capacity;
    message_progress progress;
} reading;

static reading new_reading(uint64_t size) { return (reading){with_room(size + SLACK, 1), 1, {0}}; }

/* As Python does with a record that C is not sure of, were it an empty one: on behind it, or 0 where there is none. */
static int pass_record(const byte *line, uint64_t size, reading *into) {
    record_columns *columns = &into->columns;
    message_progress *progress = &into->progress;
    if (progress->stage != AT_RECORD || line[progress->offset] != '{') return 0;
    const byte *end = memchr(line + progress->offset, '}', size - progress->offset);
    if (!end) return 0;
    uint64_t index = columns->count++;
    columns->sizes[index] = columns->key_sizes[index] = columns->sequence_sizes[index] = 0;
    columns->sub_sequences[index] = 0, columns->arrivals[index] = 0;
    columns->text[columns->text_bytes++] = '\n';
    columns->text_begins[index + 1] = columns->text_bytes;
    columns->label_begins[index + 1] = columns->label_bytes;
    progress->stage = BEHIND_RECORD;
    progress->offset = (uint64_t)(end + 1 - line);
    was_sure[PASSED].times++;
    return 1;
}

/* The first bytes of a text and one more behind them, in a buffer of their own. */
static int read_on(const byte *text, uint64_t size, byte last, reading *into) {
    byte *line = exactly(text, size + 1);
    line[size] = last;
    int result;
    for (;;) {
        result = parse_records(line, size + 1, into->capacity, &into->columns, &into->progress);
        check(into->progress.offset <= size, "no further than to the line end");
        if (result == MORE_RECORDS) {
            give_room(&into->columns, into->capacity, into->capacity);
            into->capacity *= 2;
        } else if (result != UNSURE || !pass_record(line, size, into)) {
            break;
        }
    }
    free(line);
    return result;
}

/* The same in pieces, of which what is read may be left out. */
static int read_in_pieces(const byte *data, uint64_t size, reading *into) {
    const byte *begin = data;
    for (uint64_t looks = below(4), at = 0; looks && at + 2 < size; looks--) {
        at += 1 + below(size - at - 1);
        if (data + at < begin) continue;
        read_on(begin, (uint64_t)(data + at - begin), '\n', into);
        if (below(2)) continue;
        begin += into->progress.offset;
        into->progress.offset = 0;
    }
    uint64_t left = (uint64_t)(data + size - begin);
    return left ? read_on(begin, left - 1, data[size - 1], into) : UNFINISHED;
}

static void check_begins(const record_columns *columns) {
    uint64_t text = 0, labels = 0;
    for (uint64_t index = 0; index <= columns->count; index++) {
        check(columns->text_begins[index] == text && columns->label_begins[index] == labels, "sums are right");
        if (index == columns->count) break;
        text += columns->sizes[index] + 1u;
        labels += columns->key_sizes[index] + columns->sequence_sizes[index];
    }
    check(columns->text_bytes == text && columns->label_bytes == labels, "the last sum is all there is");
}

static int is_alike(const void *one, const void *other, uint64_t size) { return !size || !memcmp(one, other, size); }

static void check_same(const record_columns *one, const record_columns *other) {
    uint64_t count = one->count;
    check(count == other->count && one->text_bytes == other->text_bytes && one->label_bytes == other->label_bytes,
          "as many records in pieces as at once");
    check(is_alike(one->text, other->text, one->text_bytes) && is_alike(one->labels, other->labels, one->label_bytes) &&
              is_alike(one->sizes, other->sizes, 4 * count) && is_alike(one->key_sizes, other->key_sizes, 4 * count) &&
              is_alike(one->sequence_sizes, other->sequence_sizes, 4 * count) &&
              is_alike(one->sub_sequences, other->sub_sequences, 8 * count) &&
              is_alike(one->arrivals, other->arrivals, 8 * count),
          "the same records in pieces as at once");
}

static void fuzz_messages(const byte *data, uint64_t size) {
    if (!size) return;
    reading whole = new_reading(size), pieces = new_reading(size);
    int expected = read_on(data, size - 1, data[size - 1], &whole), result = read_in_pieces(data, size, &pieces);
    check((result == PARSED) == (expected == PARSED), "the same answer in pieces as at once");
    if (result == PARSED) {
        check_begins(&whole.columns);
        check_same(&pieces.columns, &whole.columns);
        was_sure[PARSED_MESSAGES].times++;
    }
    freed(&whole.columns), freed(&pieces.columns);
}

/* rows.c */

static void fuzz_write_rows(const byte *data, uint64_t size) {
    record_columns columns = exact(columns_of(data, size));
    row_rules rules = some_rules();
    uint64_t tables = UINT64_C(1) << 4 * rules.key_digits, rows = 0;
    table_body *bodies = calloc(tables, sizeof *bodies);
    uint32_t *unsure = room(4 * columns.count);
    row_cursor cursor = {0};
    for (int result; (result = write_rows(&rules, &columns, 0, bodies, unsure, &cursor)) != DONE;) {
        table_body *body = &bodies[cursor.table];
        if (result == OTHER_DAY) {
            rules.arrival_day = columns.arrivals[cursor.index] / DAY_MS;
        } else if (result == BODY_NEEDS_BYTES) {
            byte *more = room(cursor.bytes);
            if (body->size) memcpy(more, body->body, body->size);
            free(body->body);
            body->body = more;
            body->capacity = cursor.bytes;
            if (!body->indices) body->indices = room(4 * rules.max_rows);
        } else {
            check(body->rows > 0, "a full body has rows");
            rows += body->rows;
            body->size = body->rows = 0;
        }
    }
    check(cursor.index == columns.count && cursor.text_offset == columns.text_bytes, "all records are looked at");
    check(cursor.label_offset == columns.label_bytes, "all labels are passed");
    for (uint64_t table = 0; table < tables; table++) {
        rows += bodies[table].rows;
        free(bodies[table].body), free(bodies[table].indices);
    }
    check(rows + cursor.unsure == columns.count, "each record is a row, or left to somebody else");
    was_sure[WRITTEN].times += rows;
    was_sure[LEFT].times += cursor.unsure;
    free(bodies), free(unsure);
    forget_rules(&rules);
    freed(&columns);
}

/* columns.c and typed_columns.c */

static row_places places_for(uint64_t count) {
    return (row_places){room(8 * count), room(4 * count), room(4 * count),
                        room(4 * count), room(8 * count), room(4 * count)};
}

static void forget_places(row_places *places) {
    free(places->payloads), free(places->sizes), free(places->key_offsets), free(places->key_sizes);
    free(places->times_us), free(places->array_bytes);
}

static row_choice choice_of(uint64_t count) {
    uint32_t *indices = room(4 * count);
    for (uint32_t index = 0; index < count; index++) indices[index] = index;
    return (row_choice){indices, count, room(count), room(4 * count), room(4 * count), room(4 * MOST_TABLES), 64, NULL};
}

static void forget_choice(row_choice *choice) {
    free((void *)(uintptr_t)choice->indices), free(choice->tables), free(choice->sorted), free(choice->sizes);
    free(choice->counts), free(choice->layouts);
}

/* Those that are left out are not in the choice any more, and are marked in `is_left`. */
static void find_all(row_rules *rules, const row_schema *schema, const record_columns *columns, row_choice *choice,
                     row_places *places, byte *is_left) {
    choice_cursor cursor = {0};
    uint32_t *indices = (uint32_t *)(uintptr_t)choice->indices;
    for (int result; (result = find_rows(rules, schema, columns, 0, choice, places, &cursor)) != FOUND;) {
        if (result == ON_ANOTHER_DAY)
            rules->arrival_day = columns->arrivals[cursor.index] / DAY_MS;
        else
            is_left[cursor.place++] = 1;
    }
    check(cursor.place == choice->count, "all records are looked at");
    uint64_t left = 0;
    for (uint64_t place = 0; place < choice->count; place++) {
        if (is_left[place]) continue;
        indices[left] = indices[place];
        choice->tables[left++] = choice->tables[place];
    }
    choice->count = left;
    sort_rows(choice, places);
}

static uint64_t padded_size(uint64_t size) { return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static void fuzz_find_rows(const byte *data, uint64_t size) {
    record_columns columns = exact(columns_of(data, size));
    row_rules rules = some_rules();
    row_places places = places_for(columns.count);
    row_choice choice = choice_of(columns.count);
    byte *is_left = calloc(columns.count, 1);
    find_all(&rules, NULL, &columns, &choice, &places, is_left);
    uint64_t count = choice.count;
    column_sizes sizes;
    measure_columns(&places, choice.sorted, count, &sizes);
    uint64_t bits = sizes.missing_keys ? (count + 7) / 8 : 0, offsets = 4 * (count + 1), whole = 0;
    uint64_t parts[] = {bits, offsets, sizes.key_bytes, 8 * count, offsets, sizes.log_bytes};
    for (int place = 0; place < 6; place++) whole += padded_size(parts[place]);
    byte *out = room(whole);
    write_columns(&places, choice.sorted, count, &sizes, out);
    was_sure[FOUND_ROWS].times += count;
    int64_t *times = room(8 * columns.count);
    uint32_t *unsure = room(4 * columns.count);
    check(find_times(&rules, &columns, 0, times, unsure) <= columns.count, "no more unsure times than records");
    free(out), free(times), free(unsure), free(is_left);
    forget_places(&places), forget_choice(&choice), forget_rules(&rules);
    freed(&columns);
}

/* routes.c */

static void fuzz_find_groups(const byte *data, uint64_t size) {
    record_columns columns = exact(columns_of(data, size));
    row_rules pairs[2] = {some_rules(), some_rules()};
    uint64_t most = 1 + below(8), slots = 16, fields = 2 * (1 + below(2));
    route_groups groups = {pairs, fields / 2, 60000, room(most * sizeof(route_group)), most, 0,
                           calloc(slots, sizeof(uint32_t)), slots - 1};
    uint32_t *numbers = room(4 * columns.count), *sizes = room(4 * columns.count), *chosen = room(4 * columns.count);
    const byte **payloads = room(8 * columns.count);
    find_groups(&groups, &columns, 0, columns.arrivals, numbers, payloads);
    check(groups.count <= most, "no more groups than there is room for");
    for (uint32_t index = 0; index < columns.count; index++) {
        chosen[index] = index;
        if (numbers[index] == UINT32_MAX) continue;
        was_sure[GROUPED].times++;
        check(numbers[index] < groups.count, "a number is that of a group");
        const route_group *group = &groups.groups[numbers[index]];
        check(group->first <= index, "a group begins with its first record");
        for (uint64_t field = 0; field < fields; field++) {
            const byte *payload = payloads[group->first];
            span value = group->values[field];
            check(value.begin >= payload && value.begin + value.size <= payload + columns.sizes[group->first],
                  "a value stands in its record");
        }
    }
    uint64_t total = measure_lines(columns.sizes, chosen, columns.count, sizes);
    check(total == columns.text_bytes, "all lines are the whole text");
    byte *out = room(total);
    copy_lines(payloads, columns.sizes, chosen, columns.count, out);
    check(!total || !memcmp(out, columns.text, total), "lines are copied as they are");
    free(out), free(numbers), free(sizes), free(chosen), free((void *)payloads), free(groups.groups), free(groups.slots);
    forget_rules(&pairs[0]), forget_rules(&pairs[1]);
    freed(&columns);
}

static const struct {
    const char *name;
    column_type type;
    int32_t value_bytes;
} COLUMNS[] = {
    {"player_id", COLUMN_TEXT, 0},
    {"time", COLUMN_TIMESTAMP, 0},
    {"more", COLUMN_JSON, 0},
    {"score", COLUMN_INTEGER, 0},
    {"ratio", COLUMN_FLOAT, 0},
    {"price", COLUMN_NUMERIC, 0},
    {"tags", COLUMN_TEXT, 4},
    {"scores", COLUMN_INTEGER, 8},
    {"won", COLUMN_BOOLEAN, 0},
    {"born", COLUMN_DATE, 0},
    {"note", COLUMN_TEXT, 0},
    {"seen", COLUMN_TIMESTAMP, 0},
    {"N\xc3\xa4me", COLUMN_TEXT, 0},
    {"prices", COLUMN_NUMERIC, 16},
    {"wins", COLUMN_BOOLEAN, 1},
    {"days", COLUMN_DATE, 4},
    {"ratios", COLUMN_FLOAT, 8},
    {"visits", COLUMN_TIMESTAMP, 8},
    {"a_column_with_a_long_name", COLUMN_INTEGER, 0},
};
enum { COLUMN_COUNT = sizeof COLUMNS / sizeof *COLUMNS };

static row_schema some_schema(void) {
    uint64_t count = 2 + below(COLUMN_COUNT - 1);
    typed_column *described = room(count * sizeof *described);
    for (uint64_t column = 0; column < count; column++) {
        span name = text_span(COLUMNS[column].name);
        char *quoted = room(name.size + 3 + QUOTED_SLACK);
        memset(quoted, 0, name.size + 3 + QUOTED_SLACK);
        sprintf(quoted, "\"%s\":", COLUMNS[column].name);
        described[column] =
            (typed_column){name, {(byte *)quoted, name.size + 3}, name, (int32_t)COLUMNS[column].type,
                           column == 1 || !below(20), COLUMNS[column].value_bytes};
        if (described[column].value_bytes) described[column].is_required = 0;
    }
    int64_t key_column = below(2) ? 0 : -1, overflow_column = below(2) ? -1 : 2;
    row_schema schema = {described, count, 1, key_column, count > 2 ? overflow_column : -1, below(4) != 0,
                         room(2 * COLUMN_SLOTS), 0, 0};
    index_columns(&schema);
    return schema;
}

static void forget_schema(row_schema *schema) {
    for (uint64_t column = 0; column < schema->count; column++) {
        forget_text(schema->columns[column].name), forget_text(schema->columns[column].quoted);
    }
    free((void *)(uintptr_t)schema->columns), free(schema->slots);
}

static int is_text(const row_schema *schema, uint64_t column) {
    int32_t type = schema->columns[column].type;
    return type == COLUMN_TEXT || type == COLUMN_JSON;
}

static void check_measured(const row_schema *schema, const row_choice *choice, uint64_t tables,
                           const typed_layout *layout) {
    for (uint64_t column = 0; column < schema->count; column++) {
        typed_layout sum = {0};
        for (uint64_t table = 0; table < tables; table++) {
            sum.nulls += choice->layouts[table * schema->count + column].nulls;
            sum.text_bytes += choice->layouts[table * schema->count + column].text_bytes;
            sum.array_values += choice->layouts[table * schema->count + column].array_values;
        }
        check(sum.nulls == layout[column].nulls && sum.text_bytes == layout[column].text_bytes, "measured alike");
        check(sum.array_values == layout[column].array_values, "arrays are measured alike");
    }
}

/* Says where each column's buffers begin; how many bytes they have together. */
static uint64_t lay_out(const row_schema *schema, uint64_t rows, typed_layout *layout) {
    uint64_t whole = 0;
    for (uint64_t column = 0; column < schema->count; column++) {
        typed_layout *at = &layout[column];
        int32_t type = schema->columns[column].type;
        int is_array = schema->columns[column].value_bytes != 0;
        uint64_t values = is_array ? at->array_values : rows, bits = (values + 7) / 8;
        uint64_t cells = values * (type == COLUMN_DATE ? 4 : type == COLUMN_NUMERIC ? 16 : 8);
        if (type == COLUMN_BOOLEAN) cells = bits;
        check(!is_array || !at->nulls, "an array has no nulls");
        at->arrays = whole, whole += padded_size(is_array ? 4 * (rows + 1) : 0);
        at->validity = whole, whole += padded_size(at->nulls ? bits : 0);
        at->offsets = whole, whole += padded_size(is_text(schema, column) ? 4 * (values + 1) : 0);
        at->values = whole, whole += padded_size(is_text(schema, column) ? at->text_bytes : cells);
    }
    return whole;
}

static void check_alone(const row_schema *schema, const row_rules *rules, const record_columns *columns,
                        const byte *is_left) {
    const byte *payload = columns->text;
    for (uint64_t index = 0; index < columns->count; index++) {
        uint64_t size = columns->sizes[index] + 1u;
        byte *line = exactly(payload, size);
        check(array_bytes_of(line, size, schema, rules) != NO_ROW || is_left[index], "what was found is a row");
        free(line);
        payload += size;
    }
}

static void fuzz_write_typed(const byte *data, uint64_t size) {
    record_columns columns = exact(columns_of(data, size));
    row_rules rules = some_rules();
    row_schema schema = some_schema();
    row_places places = places_for(columns.count);
    row_choice choice = choice_of(columns.count);
    byte *is_left = calloc(columns.count, 1);
    uint64_t tables = UINT64_C(1) << 4 * rules.key_digits;
    choice.layouts = calloc(tables * schema.count, sizeof *choice.layouts);
    find_all(&rules, &schema, &columns, &choice, &places, is_left);
    typed_layout *layout = room(schema.count * sizeof *layout);
    measure_typed(&schema, &rules, &places, choice.sorted, choice.count, layout);
    check_measured(&schema, &choice, tables, layout);
    uint64_t whole = lay_out(&schema, choice.count, layout);
    byte *out = room(whole);
    write_typed(&schema, &rules, &places, choice.sorted, choice.count, layout, whole, out);
    for (uint64_t column = 0; column < schema.count; column++)
        check(layout[column].written == layout[column].text_bytes &&
                  layout[column].values_written == layout[column].array_values,
              "as measured");
    check_alone(&schema, &rules, &columns, is_left);
    was_sure[TYPED].times += choice.count;
    free(out), free(layout), free(is_left);
    forget_schema(&schema), forget_places(&places), forget_choice(&choice), forget_rules(&rules);
    freed(&columns);
}

/* Shows what becomes of a finding. */
static void fuzz_example(const byte *data, uint64_t size) {
    byte *text = exactly(data, size);
    for (uint64_t at = 0; at + 3 <= size; at++) check(memcmp(text + at, "bad", 3) != 0, "nothing is bad");
    free(text);
}

/* Which of them */

static const struct {
    const char *name;
    void (*run)(const byte *data, uint64_t size);
} TARGETS[] = {
    {"json", fuzz_json},           {"base64", fuzz_base64},       {"messages", fuzz_messages},
    {"write_rows", fuzz_write_rows}, {"find_rows", fuzz_find_rows}, {"find_groups", fuzz_find_groups},
    {"write_typed", fuzz_write_typed},
    {"example", fuzz_example},
};

static void (*chosen)(const byte *data, uint64_t size);

int choose_target(const char *name) {
    for (size_t place = 0; name && place < sizeof TARGETS / sizeof *TARGETS; place++)
        if (!strcmp(TARGETS[place].name, name)) chosen = TARGETS[place].run;
    return chosen != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!chosen) check(choose_target(getenv("FUZZ_TARGET")), "FUZZ_TARGET names a target");
    if (size < CHOICE_BYTES) return 0;
    memcpy(&state, data, CHOICE_BYTES);
    state = (state ^ UINT64_C(88172645463325252)) | 1;
    for (int rounds = 0; rounds < 4; rounds++) below(2);
    chosen(data + CHOICE_BYTES, size - CHOICE_BYTES);
    return 0;
}
