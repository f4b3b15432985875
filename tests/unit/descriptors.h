/* How many descriptors are open: a test that ends with more than it began with has lost one. */
#ifndef REPRISE_TEST_DESCRIPTORS_H
#define REPRISE_TEST_DESCRIPTORS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline int descriptors_open(void) {
    int count = 0;
    DIR *open = opendir("/proc/self/fd");
    assert_non_null(open);
    while (readdir(open)) count++;
    closedir(open);
    return count;
}

#endif
