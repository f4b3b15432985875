/* Processes that a measurement needs: an engine of its own, and the peers that the raw limits are measured against. They end with the
 * bench, however that ends. */
#ifndef REPRISE_BENCH_PROCESS_H
#define REPRISE_BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../messages/fault.h"

typedef struct process {
    pid_t id;        /* 0: not running */
    char line[2048]; /* the first one it printed */
} process_t;

/* The folder that this program is in. */
void process_folder(char *ret_folder, size_t size);

/* Starts it, and waits for its first line of output. `arguments` ends with NULL; the first is the program's path. */
int process_start(process_t *process, const char *const *arguments, fault_t *why);
/* Starts a program that is found by its name, and does not wait; what it prints goes to the file `log`. */
int process_spawn(process_t *process, const char *const *arguments, const char *log, fault_t *why);
void process_stop(process_t *process); /* in order, and waits; accepts one that is not running */
void process_kill(process_t *process); /* the same by SIGKILL */

#endif
