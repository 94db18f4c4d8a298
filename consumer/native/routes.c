/* Records of a chunk by the values of the members that their objects' keys name, and the lines of those of one route. */
#include "native.h"

enum { MOST_ROUTE_FIELDS = 8, MOST_STEPS = 16 };

static const uint32_t NO_GROUP = UINT32_MAX;

/* Records that spell the same values, of times in one span. A value is as it is spelled, a text with its quotes; a size
 * of 0 is that of a missing one. */
typedef struct {
    uint64_t hash, first; /* index */
    int64_t bucket;
    span values[8]; /* MOST_ROUTE_FIELDS */
} route_group;

/* Each of `pairs` rules names two fields. `slots`, of which there are `mask` + 1 and at least twice `most`, hold one more
 * than the number of a group. */
typedef struct {
    const row_rules *pairs;
    uint64_t pair_count;
    int64_t bucket_ms;
    route_group *groups;
    uint64_t most, count;
    uint32_t *slots;
    uint64_t mask;
} route_groups;

static uint64_t mixed(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t hash_of(uint64_t hash, const byte *text, uint64_t size) {
    uint64_t word;
    hash = mixed(hash, size);
    for (; size >= sizeof word; size -= sizeof word, text += sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = mixed(hash, word);
    }
    for (word = 0; size; size--) word = word << 8 | *text++;
    return mixed(hash, word);
}

static int is_same_group(const route_group *one, const route_group *other, uint64_t fields) {
    if (one->hash != other->hash || one->bucket != other->bucket) return 0;
    for (uint64_t field = 0; field < fields; field++) {
        span value = one->values[field], other_value = other->values[field];
        if (value.size != other_value.size || memcmp(value.begin, other_value.begin, value.size)) return 0;
    }
    return 1;
}

/* The number of the group, which is put among the others where it is a new one; NO_GROUP where there is no room, or where
 * it would take long to see. */
static uint32_t number_of_group(route_groups *found, const route_group *group) {
    uint64_t slot = group->hash & found->mask;
    for (int steps = 0; steps < MOST_STEPS; steps++, slot = (slot + 1) & found->mask) {
        uint32_t number = found->slots[slot];
        if (number && is_same_group(&found->groups[number - 1], group, 2 * found->pair_count)) return number - 1;
        if (number) continue;
        if (found->count == found->most) return NO_GROUP;
        found->groups[found->count++] = *group;
        found->slots[slot] = (uint32_t)found->count;
        return (uint32_t)found->count - 1;
    }
    return NO_GROUP;
}

/* For each record of a part, whose first one has the index `first` in its chunk: the number of its group, NO_GROUP
 * where somebody else has to look at it; and where its payload is. */
EXPORT void find_groups(route_groups *found, const record_columns *from, uint64_t first, const int64_t *times_ms,
                        uint32_t *numbers, const byte **payloads) {
    const byte *payload = from->text, *limit = from->text + from->text_bytes;
    for (uint64_t index = 0; index < from->count; index++) {
        const byte *end = payload + from->sizes[index];
        int64_t time = times_ms[first + index], bucket = time / found->bucket_ms;
        route_group group = {.first = first + index, .bucket = bucket - (bucket * found->bucket_ms > time)};
        int is_sure = 1;
        group.hash = mixed(0, (uint64_t)group.bucket);
        for (uint64_t pair = 0; pair < found->pair_count && is_sure; pair++) {
            member members[2] = {{{0}, 0, 0, 0}, {{0}, 0, 0, 0}};
            is_sure = read_members(payload, end, limit, &found->pairs[pair], &members[0], &members[1]);
            for (int place = 0; place < 2 && is_sure; place++) {
                const member *one = &members[place];
                uint64_t field = 2 * pair + (uint64_t)place, quotes = one->is_text ? 2 : 0;
                span value = {payload, 0};
                if (one->is_there) value = (span){one->value.begin - quotes / 2, one->value.size + quotes};
                group.values[field] = value;
                group.hash = hash_of(group.hash, value.begin, value.size);
            }
        }
        numbers[first + index] = is_sure ? number_of_group(found, &group) : NO_GROUP;
        payloads[first + index] = payload;
        payload = end + 1;
    }
}

/* The sizes of the payloads of `count` chosen records; returns what their lines take together. */
EXPORT uint64_t measure_lines(const uint32_t *sizes, const uint32_t *chosen, uint64_t count, uint32_t *chosen_sizes) {
    uint64_t total = count;
    for (uint64_t place = 0; place < count; place++) total += chosen_sizes[place] = sizes[chosen[place]];
    return total;
}

/* The payloads of chosen records, each with its line end. */
EXPORT void copy_lines(const byte **payloads, const uint32_t *sizes, const uint32_t *chosen, uint64_t count, byte *out) {
    for (uint64_t place = 0; place < count; place++) {
        uint64_t size = (uint64_t)sizes[chosen[place]] + 1;
        memcpy(out, payloads[chosen[place]], size);
        out += size;
    }
}
