/* What targets.c gives to whatever makes inputs: libFuzzer, or standalone.c where there is none. */
#ifndef FUZZ_TARGETS_H
#define FUZZ_TARGETS_H

#include <stddef.h>
#include <stdint.h>

/* A number below `end`; the same ones follow from the same state, which is not 0. */
static inline uint64_t number_below(uint64_t *state, uint64_t end) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % end;
}

/* Between the payloads of an input. It stands in no JSON, so that nothing is lost by it. */
enum { SEPARATOR = 0x1E };

/* An input begins with as many bytes that choose settings, schema and the sizes of pieces. */
enum { CHOICE_BYTES = 8 };

/* 0 if there is no such target. */
int choose_target(const char *name);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How often the library was sure of something, which it has to be now and then. */
typedef struct {
    const char *name;
    uint64_t times;
} sureness;
enum { SURE_ABOUT = 10 };
extern sureness was_sure[SURE_ABOUT];

#endif
