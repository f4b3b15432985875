/* Any bytes as a configuration file, and as flags: what is refused names what is wrong, and what is taken is the same after it was printed and
 * read again.
 *
 * The first byte is the number of flags; each ends with a NUL, and the file follows. */
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actors/runtime/settings.h"

enum { FLAGS_MAX = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* zconfig_load forgets its file where that is no ZPL; the engine ends then. */
const char *__lsan_default_suppressions(void) {
    return "leak:zfile_new\n";
}

/* A file in memory, whose path is in `ret_flag`. */
static FILE *file_make(char ret_flag[64]) {
    int descriptor = memfd_create("config", 0);
    must(descriptor >= 0);
    snprintf(ret_flag, 64, "--config=/proc/self/fd/%d", descriptor);
    FILE *file = fdopen(descriptor, "w");
    must(file);
    return file;
}

static void read_again(const config_t *config) {
    char flag[64];
    char *arguments[] = {(char[]){"reprised"}, flag, (char[]){"--check-config"}}; /* without looking for the keys that it names */
    config_t again;
    settings_action_t action;
    fault_t why = {""};
    FILE *file = file_make(flag);
    settings_print(config, file);
    must(fflush(file) == 0);
    if (settings_read(3, arguments, &again, &action, &why) < 0) {
        fprintf(stderr, "%s\n", why.text);
        settings_print(config, stderr);
        abort();
    }
    for (int i = 0; i < ENDPOINT_COUNT; i++) must(strcmp(config->endpoints[i], again.endpoints[i]) == 0);
    must(strcmp(config->data, again.data) == 0 && config->durability == again.durability);
    must(config->segment_bytes == again.segment_bytes && config->chaos == again.chaos);
    fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *quiet;
    char flag[64], *arguments[FLAGS_MAX + 2] = {(char[]){"reprised"}, flag};
    int count = 2;
    if (size == 0) return 0;
    if (!quiet) zsys_set_logstream(quiet = fopen("/dev/null", "w"));
    size_t at = 1;
    for (unsigned flags = data[0] % (FLAGS_MAX + 1); flags > 0; flags--) {
        const uint8_t *end = memchr(data + at, 0, size - at);
        if (!end) break;
        char *argument = strdup((const char *)data + at);
        must(argument);
        /* Another file, which the fuzzer would find on this machine, is the user's own affair. */
        if (strncmp(argument, "--config", 8) == 0)
            free(argument);
        else
            arguments[count++] = argument;
        at = (size_t)(end - data) + 1;
    }
    FILE *file = file_make(flag);
    must(fwrite(data + at, 1, size - at, file) == size - at && fflush(file) == 0);
    config_t config;
    settings_action_t action;
    fault_t why = {""};
    if (settings_read(count, arguments, &config, &action, &why) == 0)
        read_again(&config);
    else
        must(why.text[0]);
    fclose(file);
    while (count > 2) free(arguments[--count]);
    return 0;
}
