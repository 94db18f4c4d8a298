/* Beside sources that were compiled with -fsanitize-coverage=trace-pc: how many stretches of code without a branch have
 * run. The same input gives the same number on any machine, however busy it is. */
#include <stdint.h>

static uint64_t done;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { done++; }

uint64_t work_done(void);
uint64_t work_done(void) { return done; }
