/* Settings: what is refused names the setting and the value, and what is said in two places is taken in the right order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/runtime/settings.h"

typedef struct reading {
    config_t config;
    settings_action_t action;
    fault_t why;
    int result;
} reading_t;

static char folder[] = "/tmp/reprise-settings-XXXXXX";

/* The first that is NULL ends them. */
static reading_t *reading(const char *const *arguments) {
    static reading_t r;
    char *argv[32] = {(char *)(uintptr_t) "reprised"};
    int argc = 1;
    for (; arguments[argc - 1] && argc < 31; argc++) argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    memset(&r, 0, sizeof r);
    r.result = settings_read(argc, argv, &r.config, &r.action, &r.why);
    return &r;
}

#define READ(...) reading((const char *const[]){__VA_ARGS__, NULL})

static reading_t *good(reading_t *r) {
    if (r->result < 0) fail_msg("refused: %s", r->why.text);
    return r;
}

static void assert_refused(const reading_t *r, const char *what) {
    if (r->result == 0) fail_msg("taken, where `%s` was expected", what);
    if (!strstr(r->why.text, what)) fail_msg("`%s` does not say `%s`", r->why.text, what);
}

static const char *file_with(const char *text) {
    static char path[128];
    snprintf(path, sizeof path, "%s/engine.zpl", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void without_flags_the_defaults_are_in_force(void **test) {
    (void)test;
    setenv("XDG_STATE_HOME", "/state", 1);
    const reading_t *r = good(reading((const char *const[]){NULL}));
    assert_string_equal(r->config.data, "/state/reprise");
    assert_string_equal(r->config.endpoints[ENDPOINT_COMMANDS], "tcp://127.0.0.1:5570");
    assert_string_equal(r->config.endpoints[ENDPOINT_NOTIFICATIONS], "tcp://127.0.0.1:5573");
    assert_int_equal(r->config.durability, DURABILITY_INTERVAL);
    assert_int_equal(r->config.segment_bytes, 134217728);
    assert_int_equal(r->config.heartbeat_ms, 60000);
    assert_int_equal(r->config.memory_max, 0);
    assert_false(r->config.chaos);
    assert_int_equal(r->action, SETTINGS_RUN);
}

static void the_data_folder_is_in_the_home_folder_where_no_state_folder_is_named(void **test) {
    (void)test;
    setenv("HOME", "/home/ada", 1);
    setenv("XDG_STATE_HOME", "relative", 1);
    assert_string_equal(good(reading((const char *const[]){NULL}))->config.data, "/home/ada/.local/state/reprise");
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    assert_string_equal(good(reading((const char *const[]){NULL}))->config.data, "/var/lib/.local/state/reprise");
    setenv("HOME", "/home/ada", 1);
}

static void a_folder_that_is_too_long_is_refused_and_not_cut(void **test) {
    (void)test;
    static char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    assert_refused(READ("--data", longer), "`data`: `/xxx");
    setenv("XDG_STATE_HOME", longer, 1);
    assert_refused(reading((const char *const[]){NULL}), "`data`: `/xxx");
    unsetenv("XDG_STATE_HOME");
    assert_refused(READ("--data="), "`data`: ``");
}

static void a_port_moves_all_endpoints(void **test) {
    (void)test;
    const reading_t *r = good(READ("--port", "7000"));
    assert_string_equal(r->config.endpoints[ENDPOINT_COMMANDS], "tcp://127.0.0.1:7000");
    assert_string_equal(r->config.endpoints[ENDPOINT_INGEST], "tcp://127.0.0.1:7001");
    assert_string_equal(r->config.endpoints[ENDPOINT_TEST_STREAM], "tcp://127.0.0.1:7002");
    assert_string_equal(r->config.endpoints[ENDPOINT_NOTIFICATIONS], "tcp://127.0.0.1:7003");
    assert_string_equal(r->config.beam, "127.0.0.1:7004");
}

static void a_port_out_of_range_is_refused_by_name_and_value(void **test) {
    (void)test;
    static const char *const ports[] = {"0", "-1", "65532", "99999999999999999999", "80x", "", "x"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        char what[64];
        snprintf(what, sizeof what, "`port` must be a whole number from 1 to 65531, not `%s`", ports[i]);
        assert_refused(READ("--port", ports[i]), what);
    }
    good(READ("--port", "65531"));
}

static void an_endpoint_wins_over_the_port_wherever_it_stands(void **test) {
    (void)test;
    const reading_t *r = good(READ("--commands", "ipc:///run/commands", "--port", "7000"));
    assert_string_equal(r->config.endpoints[ENDPOINT_COMMANDS], "ipc:///run/commands");
    assert_string_equal(r->config.endpoints[ENDPOINT_INGEST], "tcp://127.0.0.1:7001");
    r = good(READ("--config", file_with("ingest = \"ipc:///run/ingest\"\nport = 7000\n")));
    assert_string_equal(r->config.endpoints[ENDPOINT_COMMANDS], "tcp://127.0.0.1:7000");
    assert_string_equal(r->config.endpoints[ENDPOINT_INGEST], "ipc:///run/ingest");
}

static void an_endpoint_that_is_none_is_refused_by_name_and_value(void **test) {
    (void)test;
    static const char *const flags[] = {"--commands", "--ingest", "--test-stream", "--notifications"};
    static const char *const endpoints[] = {"",
                                            "127.0.0.1:5570",
                                            "tcp://",
                                            "ipc://",
                                            "ipc://*",
                                            "udp://x",
                                            "tcp://127.0.0.1:",
                                            "tcp://127.0.0.1:*",
                                            "tcp://127.0.0.1:0",
                                            "tcp://x",
                                            "tcp://127.0.0.1:70000"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        for (size_t k = 0; k < sizeof endpoints / sizeof endpoints[0]; k++) {
            char name[64], value[64];
            snprintf(name, sizeof name, "`%s` must be an endpoint", flags[i] + 2);
            snprintf(value, sizeof value, "not `%s`", endpoints[k]);
            assert_refused(READ(flags[i], endpoints[k]), name);
            assert_refused(READ(flags[i], endpoints[k]), value);
        }
}

static void two_endpoints_may_not_be_the_same(void **test) {
    (void)test;
    assert_refused(READ("--commands", "tcp://127.0.0.1:5571"), "tcp://127.0.0.1:5571 is given for two endpoints");
}

static void other_machines_are_let_in_only_when_that_is_said(void **test) {
    (void)test;
    static const char *const open[] = {"tcp://*:9000",    "tcp://0.0.0.0:9000",         "tcp://192.168.1.2:9000",
                                       "tcp://[::]:9000", "tcp://127.example.com:9000", "tcp://127.0.0.1.example.com:9000"};
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        assert_refused(READ("--ingest", open[i]), open[i]);
        assert_refused(READ("--ingest", open[i]), "--insecure");
        assert_string_equal(good(READ("--ingest", open[i], "--insecure"))->config.endpoints[ENDPOINT_INGEST], open[i]);
    }
    static const char *const closed[] = {"ipc:///x", "tcp://127.0.0.2:9000", "tcp://localhost:9000", "tcp://[::1]:9000"};
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++) good(READ("--ingest", closed[i]));
}

static void beam_is_called_at_an_address_or_nowhere(void **test) {
    (void)test;
    assert_string_equal(good(READ("--insecure"))->config.beam, "127.0.0.1:5574");
    assert_string_equal(good(READ("--beam", "[::1]:6000"))->config.beam, "[::1]:6000");
    assert_string_equal(good(READ("--port", "7000", "--beam", "tcp://127.0.0.1:6000"))->config.beam, "127.0.0.1:6000");
    assert_string_equal(good(READ("--beam", "off", "--port", "7000"))->config.beam, "");
    static const char *const wrong[] = {"",        "127.0.0.1", "127.0.0.1:", ":5574", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x",
                                        "ipc:///x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char what[96];
        snprintf(what, sizeof what, "`beam` must be an address such as 127.0.0.1:5574, or off, not `%s`", wrong[i]);
        assert_refused(READ("--beam", wrong[i]), what);
    }
    assert_refused(READ("--beam", "127.0.0.1:5570"), "tcp://127.0.0.1:5570 is given for two endpoints");
}

static void ports_for_pipelines_are_a_range(void **test) {
    (void)test;
    const reading_t *r = good(READ("--beam-ports", "5600-5699"));
    assert_int_equal(r->config.beam_first, 5600);
    assert_int_equal(r->config.beam_last, 5699);
    assert_int_equal(good(READ("--beam-ports", "65535-65535"))->config.beam_last, 65535);
    static const char *const wrong[] = {"", "5600", "5600-", "-5600", "0-5", "5601-5600", "5600-65536", "5600-5699x", "a-b", "1- 2"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char what[96];
        snprintf(what, sizeof what, "`beam-ports` must be two ports such as 5600-5699, not `%s`", wrong[i]);
        assert_refused(READ("--beam-ports", wrong[i]), what);
    }
}

static void beam_is_guarded_as_the_endpoints_are(void **test) {
    (void)test;
    assert_refused(READ("--beam", "0.0.0.0:5574"), "0.0.0.0:5574 can be reached from other machines");
    good(READ("--beam", "0.0.0.0:5574", "--insecure"));
    assert_refused(READ("--beam", "127.example.com:5574"), "can be reached from other machines");
    good(READ("--beam", "localhost:5574"));
    assert_string_equal(good(READ("--keys", "/keys", "--check-config"))->config.beam, "");
    assert_refused(READ("--keys", "/keys", "--beam", "127.0.0.1:5574", "--check-config"), "127.0.0.1:5574 knows none: give --beam-tls-ca");
    assert_string_equal(good(READ("--keys", "/keys", "--beam", "off", "--check-config"))->config.beam, "");
    assert_refused(READ("--beam-tls-cert", "/c"), "`beam-tls-cert` and `beam-tls-key` belong together");
    assert_refused(READ("--beam-tls-ca", "/a"), "`beam-tls-ca` needs `beam-tls-cert` and `beam-tls-key`");
    assert_refused(READ("--beam", "0.0.0.0:5574", "--beam-tls-cert", "/c", "--beam-tls-key", "/k"),
                   "nothing guards it: give --beam-tls-ca");
    good(READ("--beam", "0.0.0.0:5574", "--beam-tls-cert", "/c", "--beam-tls-key", "/k", "--beam-tls-ca", "/a"));
    const reading_t *r = good(READ("--keys", "/keys", "--beam-tls-cert=/c", "--beam-tls-key=/k", "--beam-tls-ca=/a", "--check-config"));
    assert_string_equal(r->config.beam, "127.0.0.1:5574");
}

static void each_durability_has_its_word(void **test) {
    (void)test;
    assert_int_equal(good(READ("--durability", "async"))->config.durability, DURABILITY_ASYNC);
    assert_int_equal(good(READ("--durability=interval"))->config.durability, DURABILITY_INTERVAL);
    assert_int_equal(good(READ("--durability", "sync"))->config.durability, DURABILITY_SYNC);
    assert_refused(READ("--durability", "fsync"), "`durability` must be async, interval or sync, not `fsync`");
}

static void numbers_have_a_sensible_size(void **test) {
    (void)test;
    static const char *const sizes[] = {"4095", "4294967297", "1e9", "", "-5000"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char what[96];
        snprintf(what, sizeof what, "`segment-bytes` must be a whole number from 4096 to 4294967296, not `%s`", sizes[i]);
        assert_refused(READ("--segment-bytes", sizes[i]), what);
    }
    assert_int_equal(good(READ("--segment-bytes", "4096"))->config.segment_bytes, 4096);
    assert_refused(READ("--heartbeat-ms", "-1"), "`heartbeat-ms` must be a whole number from 0 to 86400000, not `-1`");
    assert_int_equal(good(READ("--heartbeat-ms", "0"))->config.heartbeat_ms, 0);
    assert_refused(READ("--memory-max", "1e9"), "`memory-max` must be a whole number from 134217728 to 1099511627776, not `1e9`");
    assert_refused(READ("--memory-max", "99999999999999999999"), "`memory-max` must be");
    assert_int_equal(good(READ("--memory-max", "134217728"))->config.memory_max, 134217728);
}

static void yes_and_no_have_their_words(void **test) {
    (void)test;
    assert_true(good(READ("--chaos"))->config.chaos);
    assert_true(good(READ("--chaos=yes"))->config.chaos);
    assert_false(good(READ("--chaos", "--chaos=0"))->config.chaos);
    assert_refused(READ("--chaos=maybe"), "`chaos` must be true or false, not `maybe`");
    assert_refused(READ("--insecure=maybe"), "`insecure` must be true or false, not `maybe`");
}

static void what_is_no_flag_is_refused_by_name(void **test) {
    (void)test;
    assert_refused(READ("--dat", "/x"), "no flag `--dat`");
    assert_refused(READ("--datax=1"), "no flag `--datax`");
    assert_refused(READ("data"), "`data` is no flag");
    assert_refused(READ("-p"), "`-p` is no flag");
    assert_refused(READ("--data"), "`--data` needs a value: DIR");
}

static void flags_win_over_the_file_and_the_file_over_the_defaults(void **test) {
    (void)test;
    const char *path = file_with("data = \"/from/file\"\nport = 8000\ndurability = sync\nchaos = true\n");
    const reading_t *r = good(READ("--port", "9000", "--config", path, "--chaos=false"));
    assert_string_equal(r->config.data, "/from/file");
    assert_string_equal(r->config.endpoints[ENDPOINT_COMMANDS], "tcp://127.0.0.1:9000");
    assert_int_equal(r->config.durability, DURABILITY_SYNC);
    assert_false(r->config.chaos);
}

static void a_file_that_is_wrong_is_refused_by_name_and_setting(void **test) {
    (void)test;
    char missing[64];
    snprintf(missing, sizeof missing, "%s/none", folder);
    assert_refused(READ("--config", missing), missing);
    assert_refused(READ("--config", folder), folder);
    assert_refused(READ("--config", file_with("colour = red\n")), "engine.zpl: no setting is called `colour`");
    assert_refused(READ("--config", file_with("config = x\n")), "no setting is called `config`");
    assert_refused(READ("--config", file_with("help = true\n")), "no setting is called `help`");
    assert_refused(READ("--config", file_with("server\n    port = 1\n")), "no setting is called `server`");
    assert_refused(READ("--config", file_with("data = x\n    port = 1\n")), "`data` is a setting and has none in it, such as `port`");
    assert_refused(READ("--config", file_with("durability = never\n")),
                   "engine.zpl: `durability` must be async, interval or sync, not `never`");
}

static void help_version_and_check_are_actions(void **test) {
    (void)test;
    assert_int_equal(good(READ("--help"))->action, SETTINGS_HELP);
    assert_int_equal(good(READ("--version"))->action, SETTINGS_VERSION);
    assert_int_equal(good(READ("--check-config"))->action, SETTINGS_CHECK);
}

static void the_help_names_every_flag(void **test) {
    (void)test;
    static const char *const flags[] = {"--config FILE",
                                        "--data DIR",
                                        "--port N",
                                        "--commands ENDPOINT",
                                        "--ingest ENDPOINT",
                                        "--test-stream ENDPOINT",
                                        "--notifications ENDPOINT",
                                        "--beam ADDR",
                                        "--beam-ports A-B",
                                        "--durability POLICY",
                                        "--segment-bytes N",
                                        "--heartbeat-ms N",
                                        "--memory-max BYTES",
                                        "--chaos",
                                        "--insecure",
                                        "--check-config",
                                        "--help",
                                        "--version"};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    settings_help(out);
    fclose(out);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (!strstr(text, flags[i])) fail_msg("the help does not name %s", flags[i]);
    free(text);
}

static void assert_printed(const config_t *config) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    settings_print(config, out);
    fclose(out);
    const reading_t *again = good(READ("--check-config", "--config", file_with(text)));
    assert_memory_equal(&again->config, config, sizeof *config);
    free(text);
}

static void what_is_printed_is_a_file_that_gives_the_same(void **test) {
    (void)test;
    config_t config = good(READ("--data", "/a b", "--ingest=tcp://*:9000", "--insecure", "--durability=async", "--chaos",
                                "--memory-max=134217728", "--heartbeat-ms=5"))
                          ->config;
    assert_printed(&config);
    config =
        good(READ("--data", "/the \"best\" # of all", "--commands", "ipc:///it's", "--keys", "/\"my\" keys", "--check-config"))->config;
    assert_printed(&config);
    config = good(READ("--insecure"))->config; /* sources may bind, too */
    assert_true(config.insecure);
    assert_printed(&config);
}

static void what_a_file_cannot_say_is_refused(void **test) {
    (void)test;
    assert_refused(READ("--data", "/a\nchaos = true"), "`data` must have no control characters");
    assert_refused(READ("--data", "/a\x7f"), "`data` must have no control characters");
    assert_refused(READ("--commands=ipc://\"'"), "not both kinds of quotes");
    assert_refused(READ("--config", file_with("data = /it's \"mine\"\n")), "`data` must have no control characters");
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(file_with(""));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_flags_the_defaults_are_in_force),
        cmocka_unit_test(the_data_folder_is_in_the_home_folder_where_no_state_folder_is_named),
        cmocka_unit_test(a_folder_that_is_too_long_is_refused_and_not_cut),
        cmocka_unit_test(a_port_moves_all_endpoints),
        cmocka_unit_test(a_port_out_of_range_is_refused_by_name_and_value),
        cmocka_unit_test(an_endpoint_wins_over_the_port_wherever_it_stands),
        cmocka_unit_test(an_endpoint_that_is_none_is_refused_by_name_and_value),
        cmocka_unit_test(two_endpoints_may_not_be_the_same),
        cmocka_unit_test(other_machines_are_let_in_only_when_that_is_said),
        cmocka_unit_test(beam_is_called_at_an_address_or_nowhere),
        cmocka_unit_test(ports_for_pipelines_are_a_range),
        cmocka_unit_test(beam_is_guarded_as_the_endpoints_are),
        cmocka_unit_test(each_durability_has_its_word),
        cmocka_unit_test(numbers_have_a_sensible_size),
        cmocka_unit_test(yes_and_no_have_their_words),
        cmocka_unit_test(what_is_no_flag_is_refused_by_name),
        cmocka_unit_test(flags_win_over_the_file_and_the_file_over_the_defaults),
        cmocka_unit_test(a_file_that_is_wrong_is_refused_by_name_and_setting),
        cmocka_unit_test(help_version_and_check_are_actions),
        cmocka_unit_test(the_help_names_every_flag),
        cmocka_unit_test(what_is_printed_is_a_file_that_gives_the_same),
        cmocka_unit_test(what_a_file_cannot_say_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
