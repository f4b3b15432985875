/* One element a call, through libreprise. */
#ifndef REPRISE_BENCH_PUSH_H
#define REPRISE_BENCH_PUSH_H

#include "bench.h"

/* Pushes to the pipeline's source from as many threads as there are producers, until all is recorded. */
int pushes_run(bench_t *bench, const char *pipeline, double *ret_elements_per_s, fault_t *why);

#endif
