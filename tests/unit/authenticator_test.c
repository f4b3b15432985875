/* The authenticator, asked as libzmq's door asks it: who has a key is let in by its file's name, and doors are told when keys change. */
#include "desk.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "actors/authenticator.h"
#include "actors/store/keyring.h"

static char public_key[41], secret_key[41];

/* A key of a client, in the stage's folder of keys. */
static void add(stage_t *stage, const char *name, const char *permission) {
    char path[5000];
    snprintf(path, sizeof path, "%s/clients/%s.pub", stage_config(stage)->keys, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    fprintf(file, "metadata\n    permission = \"%s\"\ncurve\n    public-key = \"%s\"\n", permission, public_key);
    fclose(file);
}

static stage_t *with_keys(void) {
    stage_t *stage = stage_create(5, NULL);
    config_t *config = stage_config(stage);
    char path[5000];
    snprintf(config->keys, sizeof config->keys, "%.4000s/keys", config->data);
    snprintf(path, sizeof path, "%s/clients", config->keys);
    assert_int_equal(mkdir(config->keys, 0700), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    add(stage, "alice", "write");
    stage_add(stage, &authenticator_class, "authenticator", (bytes_t){0});
    stage_run(stage);
    return stage;
}

static msg_zap_admit_t knock(uint8_t bytes[KEY_BYTES], const char *key) {
    assert_non_null(zmq_z85_decode(bytes, key));
    return (msg_zap_admit_t){.endpoint = "commands", .address = "127.0.0.1", .mechanism = "CURVE", .key = {bytes, KEY_BYTES}};
}

static void who_has_a_key_is_let_in_by_its_files_name(void **state) {
    (void)state;
    stage_t *stage = with_keys();
    uint8_t bytes[KEY_BYTES];
    char wanted[128];
    msg_zap_admit_t ask = knock(bytes, public_key);
    const msg_zap_admitted_t *admitted = stage_get(stage, "authenticator", MSG_ZAP_ADMIT, &ask);
    snprintf(wanted, sizeof wanted, " write %s alice", public_key);
    assert_string_equal(strchr(admitted->user, ' '), wanted);
    stage_destroy(&stage);
}

static void who_has_none_or_proves_it_otherwise_is_not(void **state) {
    (void)state;
    stage_t *stage = with_keys();
    uint8_t bytes[KEY_BYTES];
    char other[41], secret[41];
    msg_zap_admit_t ask = knock(bytes, public_key);
    ask.mechanism = "PLAIN";
    assert_int_equal(stage_get_refusal(stage, "authenticator", MSG_ZAP_ADMIT, &ask)->code, ERROR_UNAUTHORIZED);
    ask.mechanism = "CURVE";
    ask.key.size = KEY_BYTES - 1;
    assert_int_equal(stage_get_refusal(stage, "authenticator", MSG_ZAP_ADMIT, &ask)->code, ERROR_UNAUTHORIZED);
    assert_int_equal(zmq_curve_keypair(other, secret), 0);
    ask = knock(bytes, other);
    assert_int_equal(stage_get_refusal(stage, "authenticator", MSG_ZAP_ADMIT, &ask)->code, ERROR_UNAUTHORIZED);
    stage_destroy(&stage);
}

static void a_key_that_was_added_a_moment_ago_is_good_and_doors_are_told(void **state) {
    (void)state;
    stage_t *stage = with_keys();
    uint8_t bytes[KEY_BYTES];
    while (stage_take(stage, "gateway", MSG_KEYS_CHANGED)) continue;
    add(stage, "bob", "read");
    msg_zap_admit_t ask = knock(bytes, public_key);
    const msg_zap_admitted_t *admitted = stage_get(stage, "authenticator", MSG_ZAP_ADMIT, &ask);
    assert_non_null(strstr(admitted->user, " bob"));
    const msg_keys_changed_t *keys = desk_told(stage, "gateway", MSG_KEYS_CHANGED);
    assert_int_equal(keys->users.count, 2);
    assert_non_null(strstr(keys->users.items[1], "read"));
    stage_destroy(&stage);
}

static void a_key_that_is_removed_is_missing_in_what_doors_are_told_soon_after(void **state) {
    (void)state;
    stage_t *stage = with_keys();
    char path[5000];
    while (stage_take(stage, "recorder", MSG_KEYS_CHANGED)) continue;
    snprintf(path, sizeof path, "%s/clients/alice.pub", stage_config(stage)->keys);
    assert_int_equal(unlink(path), 0);
    stage_advance(stage, 600 * 1000);
    const msg_keys_changed_t *keys = desk_told(stage, "recorder", MSG_KEYS_CHANGED);
    assert_int_equal(keys->users.count, 0);
    uint8_t bytes[KEY_BYTES];
    msg_zap_admit_t ask = knock(bytes, public_key);
    assert_int_equal(stage_get_refusal(stage, "authenticator", MSG_ZAP_ADMIT, &ask)->code, ERROR_UNAUTHORIZED);
    stage_destroy(&stage);
}

static void without_keys_there_is_nothing_to_tell(void **state) {
    (void)state;
    stage_t *stage = stage_create(5, NULL);
    stage_add(stage, &authenticator_class, "authenticator", (bytes_t){0});
    stage_run(stage);
    stage_advance(stage, 10 * 1000 * 1000);
    assert_null(stage_take(stage, "gateway", MSG_KEYS_CHANGED));
    stage_destroy(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_a_key_is_let_in_by_its_files_name),
        cmocka_unit_test(who_has_none_or_proves_it_otherwise_is_not),
        cmocka_unit_test(a_key_that_was_added_a_moment_ago_is_good_and_doors_are_told),
        cmocka_unit_test(a_key_that_is_removed_is_missing_in_what_doors_are_told_soon_after),
        cmocka_unit_test(without_keys_there_is_nothing_to_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
