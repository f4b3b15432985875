/* What a crash leaves behind: a backtrace, on stderr and in the data folder. */
#ifndef REPRISE_CRASH_H
#define REPRISE_CRASH_H

#define CRASH_FILE "crashes.log"

/* From here on a signal that ends the process by a bug (SIGSEGV, SIGABRT …) first writes where each frame of its thread is, as MODULE+OFFSET,
 * which `addr2line -e MODULE OFFSET` turns into a line. It ends the process all the same, with a core dump where those are wanted. Signals that
 * somebody else handles already (a sanitizer) are left to him. Once in a process, before it has threads. */
void crash_watch(const char *data);

/* For a thread of one's own: room to write from when its stack has overflowed. What a thread opens it closes before it ends. */
void *crash_stack_open(void);
void crash_stack_close(void *stack);

#endif
