/* Keys in files: which are taken, by what name, and what is said of those that are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "actors/store/keyring.h"

static char folder[64], public_key[41], secret_key[41];
static keyring_t ring; /* as it was loaded last */

static int set_up(void **test) {
    (void)test;
    char clients[80];
    snprintf(folder, sizeof folder, "/tmp/reprise-keyring-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(clients, sizeof clients, "%s/clients", folder);
    return mkdir(clients, 0700);
}

static int tear_down(void **test) {
    (void)test;
    char command[128];
    keyring_fini(&ring);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static void write_text(const char *name, mode_t mode, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
}

/* A new pair; `metadata` and the secret may be left out. */
static void write_key(const char *name, mode_t mode, const char *metadata, bool secret) {
    char text[512];
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    int size = snprintf(text, sizeof text, "metadata\n%scurve\n    public-key = \"%s\"\n", metadata, public_key);
    if (secret) snprintf(text + size, sizeof text - (size_t)size, "    secret-key = \"%s\"\n", secret_key);
    write_text(name, mode, text);
}

/* Loads it: so many clients, and files that are left out. */
static void load(size_t count, size_t complaints) {
    fault_t why;
    keyring_fini(&ring);
    if (keyring_load(folder, &ring, &why) < 0) fail_msg("%s", why.text);
    assert_int_equal(ring.count, count);
    assert_int_equal(ring.complaints, complaints);
}

static void the_engines_key_is_read_and_must_be_its_own(void **test) {
    (void)test;
    char read[41];
    fault_t why;
    assert_int_equal(keyring_secret(folder, read, &why), -1);
    assert_non_null(strstr(why.text, "reprise keygen"));
    write_key("server.key", 0640, "", true);
    assert_int_equal(keyring_secret(folder, read, &why), -1);
    assert_non_null(strstr(why.text, "its mode is 640"));
    write_key("server.key", 0600, "", true);
    assert_int_equal(keyring_secret(folder, read, &why), 0);
    assert_string_equal(read, secret_key);
    write_key("server.key", 0600, "", false);
    assert_int_equal(keyring_secret(folder, read, &why), -1);
    assert_non_null(strstr(why.text, "no certificate with a secret key"));
}

static void a_certificate_gives_both_keys_and_any_its_public_one(void **test) {
    (void)test;
    char path[256], public[41], secret[41];
    fault_t why;
    snprintf(path, sizeof path, "%s/me.key", folder);
    assert_int_equal(keyring_pair(path, public, secret, &why), -1);
    assert_non_null(strstr(why.text, path));
    write_key("me.key", 0600, "", true);
    assert_int_equal(keyring_pair(path, public, secret, &why), 0);
    assert_string_equal(public, public_key);
    assert_string_equal(secret, secret_key);
    memset(public, 0, sizeof public);
    assert_int_equal(keyring_public(path, public, &why), 0);
    assert_string_equal(public, public_key);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(keyring_pair(path, public, secret, &why), -1);
    assert_non_null(strstr(why.text, "640"));
    write_key("me.pub", 0644, "", false);
    snprintf(path, sizeof path, "%s/me.pub", folder);
    assert_int_equal(keyring_public(path, public, &why), 0);
    assert_string_equal(public, public_key);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(keyring_pair(path, public, secret, &why), -1);
    write_text("none.pub", 0644, "curve\n    public-key = \"short\"\n");
    snprintf(path, sizeof path, "%s/none.pub", folder);
    assert_int_equal(keyring_public(path, public, &why), -1);
    assert_non_null(strstr(why.text, path));
}

static void a_client_goes_by_its_files_name_and_has_what_the_file_says(void **test) {
    (void)test;
    write_key("clients/bob.pub", 0600, "    name = \"root\"\n", false);
    write_key("clients/alice.pub", 0600, "    permission = \"admin\"\n", false);
    load(2, 0);
    assert_string_equal(ring.clients[0].name, "alice");
    assert_string_equal(ring.clients[0].key, public_key);
    assert_int_equal(ring.clients[0].permission, PERMISSION_ADMIN);
    assert_string_equal(ring.clients[1].name, "bob");
    assert_int_equal(ring.clients[1].permission, PERMISSION_READ);
    uint8_t bytes[KEY_BYTES];
    assert_non_null(zmq_z85_decode(bytes, public_key));
    assert_ptr_equal(keyring_find(&ring, bytes), &ring.clients[0]);
    bytes[0] ^= 1;
    assert_null(keyring_find(&ring, bytes));
}

static void what_is_no_certificate_is_left_out_and_named(void **test) {
    (void)test;
    write_key("clients/good.pub", 0600, "    permission = \"write\"\n", false);
    write_text("clients/empty.pub", 0600, "");
    load(1, 1);
    assert_non_null(strstr(ring.complaint.text, "empty.pub"));
    write_key("clients/all.pub", 0600, "    permission = \"everything\"\n", false);
    write_key("clients/secret.key", 0600, "", true);
    write_text("clients/.hidden", 0600, "not even looked at");
    load(1, 3);
    assert_non_null(strstr(ring.complaint.text, "not `everything`"));
}

static void a_certificate_is_what_its_own_file_says(void **test) {
    (void)test;
    fault_t why;
    char read[41];
    write_key("clients/alice.pub_secret", 0600, "    permission = \"admin\"\n", true);
    write_key("clients/alice.pub", 0600, "    permission = \"read\"\n", false);
    load(1, 1);
    assert_string_equal(ring.clients[0].key, public_key);
    assert_int_equal(ring.clients[0].permission, PERMISSION_READ);
    write_key("server.key_secret", 0644, "", true);
    write_key("server.key", 0600, "", true);
    assert_int_equal(keyring_secret(folder, read, &why), 0);
    assert_string_equal(read, secret_key);
}

static void the_engines_key_is_known_by_whatever_path(void **test) {
    (void)test;
    char path[128], other[160];
    write_key("server.key", 0600, "", true);
    write_key("clients/alice.pub", 0600, "", false);
    snprintf(path, sizeof path, "%s/server.key", folder);
    assert_true(keyring_is_secret(folder, path));
    snprintf(other, sizeof other, "%s/link", folder);
    assert_int_equal(symlink(path, other), 0);
    assert_true(keyring_is_secret(folder, other));
    snprintf(other, sizeof other, "%s/clients/../clients/alice.pub", folder);
    assert_false(keyring_is_secret(folder, other));
    assert_false(keyring_is_secret("", path));
    assert_false(keyring_is_secret(folder, "/nowhere"));
}

static void forty_characters_that_are_no_key_are_nobodys(void **test) {
    (void)test;
    write_text("clients/none.pub", 0600, "curve\n    public-key = \"~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\"\n");
    load(0, 1);
    assert_non_null(strstr(ring.complaint.text, "none.pub has no public key"));
}

static void what_is_no_plain_file_is_not_waited_for(void **test) {
    (void)test;
    char path[128];
    snprintf(path, sizeof path, "%s/clients/pipe.pub", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10);
    load(0, 1);
    alarm(0);
    assert_non_null(strstr(ring.complaint.text, "pipe.pub is no certificate"));
}

static void a_key_has_one_name(void **test) {
    (void)test;
    char command[256];
    write_key("clients/one.pub", 0600, "    permission = \"read\"\n", false);
    snprintf(command, sizeof command, "sed s/read/admin/ %s/clients/one.pub > %s/clients/two.pub", folder, folder);
    assert_int_equal(system(command), 0);
    load(1, 1);
    assert_int_equal(ring.clients[0].permission, PERMISSION_READ);
    assert_non_null(strstr(ring.complaint.text, "same key as one.pub"));
}

static void without_a_folder_there_are_no_clients(void **test) {
    (void)test;
    ring.count = 7;
    fault_t why;
    assert_int_equal(keyring_load("/nowhere", &ring, &why), -1);
    assert_non_null(strstr(why.text, "/nowhere/clients"));
    assert_int_equal(ring.count, 0);
    assert_int_equal(keyring_stamp("/nowhere"), 0);
}

static void any_change_of_the_files_changes_the_stamp(void **test) {
    (void)test;
    uint64_t empty = keyring_stamp(folder);
    write_key("clients/one.pub", 0600, "", false);
    uint64_t one = keyring_stamp(folder);
    assert_int_not_equal(one, empty);
    assert_int_equal(keyring_stamp(folder), one);
    write_key("clients/one.pub", 0600, "    permission = \"write\"\n", false);
    assert_int_not_equal(keyring_stamp(folder), one);
}

#define KEYRING_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        KEYRING_TEST(the_engines_key_is_read_and_must_be_its_own),
        KEYRING_TEST(a_certificate_gives_both_keys_and_any_its_public_one),
        KEYRING_TEST(a_client_goes_by_its_files_name_and_has_what_the_file_says),
        KEYRING_TEST(what_is_no_certificate_is_left_out_and_named),
        KEYRING_TEST(a_certificate_is_what_its_own_file_says),
        KEYRING_TEST(the_engines_key_is_known_by_whatever_path),
        KEYRING_TEST(forty_characters_that_are_no_key_are_nobodys),
        KEYRING_TEST(what_is_no_plain_file_is_not_waited_for),
        KEYRING_TEST(a_key_has_one_name),
        KEYRING_TEST(without_a_folder_there_are_no_clients),
        KEYRING_TEST(any_change_of_the_files_changes_the_stamp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
