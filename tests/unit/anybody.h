/* What a test needs that may not read everything. */
#ifndef REPRISE_TEST_ANYBODY_H
#define REPRISE_TEST_ANYBODY_H

#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* Root reads what it likes; without these capabilities it is as anybody who owns the file. */
static inline void read_as_anybody(bool anybody) {
    const uint32_t override = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (geteuid() != 0) return;
    assert_int_equal(syscall(SYS_capget, &header, data), 0);
    data[0].effective = anybody ? data[0].effective & ~override : data[0].effective | (override & data[0].permitted);
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

#endif
