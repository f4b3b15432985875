/* CZMQ reads the files, as the plain ZPL that they are: its own reader of certificates takes FILE_secret in place of FILE where that is there, and
 * text that is no key for the key of zeros. Its store of certificates looks through the whole folder at each question and cannot say what has gone
 * from it, which is what has to be known here; so the folder is read as a whole when something in it has changed (docs/decisions/security.md). */
#include "keyring.h"

#include <czmq.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".pub"

enum { FILE_MOST = 64 * 1024, SECRET_PATH = 4400 };

/* NULL: it is no ZPL, or no file that could be one. A pipe would have to be waited for. */
static zconfig_t *certificate_read(const char *path) {
    struct stat about;
    if (stat(path, &about) < 0 || !S_ISREG(about.st_mode) || about.st_size > FILE_MOST) return NULL;
    return zconfig_load(path);
}

/* The key of that name; NULL: there is none, or what stands there is none. */
static const char *key_in(zconfig_t *certificate, const char *path, uint8_t ret_bytes[KEY_BYTES]) {
    const char *text = zconfig_get(certificate, path, "");
    return strlen(text) == KEY_TEXT && zmq_z85_decode(ret_bytes, text) ? text : NULL;
}

static void secret_path(const char *folder, char ret_path[SECRET_PATH]) {
    snprintf(ret_path, SECRET_PATH, "%s/server.key", folder);
}

bool keyring_has(const char *folder, const struct stat *about) {
    char own[SECRET_PATH];
    struct stat secret;
    secret_path(folder, own);
    return folder[0] && stat(own, &secret) == 0 && secret.st_dev == about->st_dev && secret.st_ino == about->st_ino;
}

bool keyring_is_secret(const char *folder, const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && keyring_has(folder, &about);
}

int keyring_pair(const char *path, char ret_public[KEY_TEXT + 1], char ret_secret[KEY_TEXT + 1], fault_t *why) {
    char made[KEY_TEXT + 1];
    struct stat about;
    if (stat(path, &about) < 0) return fault_errno(why, "cannot read the key %s", path);
    if (about.st_mode & (S_IRWXG | S_IRWXO))
        return fault_set(why, "others than its owner can use the key %s: its mode is %03o and must be 600", path,
                         (unsigned)about.st_mode & 0777U);
    zconfig_t *certificate = certificate_read(path);
    uint8_t bytes[KEY_BYTES];
    const char *secret = certificate ? key_in(certificate, "curve/secret-key", bytes) : NULL;
    const char *public = certificate ? key_in(certificate, "curve/public-key", bytes) : NULL;
    bool whole = secret && public && zmq_curve_public(made, secret) == 0 && strcmp(made, public) == 0;
    if (whole) memcpy(ret_secret, secret, KEY_TEXT + 1);
    if (whole) memcpy(ret_public, public, KEY_TEXT + 1);
    zconfig_destroy(&certificate);
    return whole ? 0 : fault_set(why, "%s is no certificate with a secret key", path);
}

int keyring_secret(const char *folder, char ret_secret[KEY_TEXT + 1], fault_t *why) {
    char path[SECRET_PATH], public[KEY_TEXT + 1];
    secret_path(folder, path);
    if (access(path, F_OK) < 0)
        return fault_errno(why, "cannot read the engine's key %s (make one with `reprise keygen %s/server`)", path, folder);
    return keyring_pair(path, public, ret_secret, why);
}

int keyring_public(const char *path, char ret_public[KEY_TEXT + 1], fault_t *why) {
    uint8_t bytes[KEY_BYTES];
    zconfig_t *certificate = certificate_read(path);
    const char *public = certificate ? key_in(certificate, "curve/public-key", bytes) : NULL;
    if (public) memcpy(ret_public, public, KEY_TEXT + 1);
    int result = public ? 0 : fault_set(why, "%s is no certificate with a public key", path);
    zconfig_destroy(&certificate);
    return result;
}

/* The client's name, from its file's: letters and what else file names have. False: it is none. */
static bool name_of(const char *file, char *ret_name) {
    size_t size = strlen(file), suffix = strlen(SUFFIX);
    if (file[0] == '.' || size <= suffix || strcmp(file + size - suffix, SUFFIX) != 0 || size - suffix > KEY_NAME_MAX) return false;
    for (size_t i = 0; i < size; i++)
        if (file[i] <= ' ' || file[i] > '~') return false;
    snprintf(ret_name, KEY_NAME_MAX + 1, "%.*s", (int)(size - suffix), file);
    return true;
}

static int client_load(const char *path, client_key_t *ret_client, fault_t *why) {
    zconfig_t *certificate = certificate_read(path);
    if (!certificate) return fault_set(why, "%s is no certificate", path);
    const char *key = key_in(certificate, "curve/public-key", ret_client->bytes);
    const char *permission = zconfig_get(certificate, "metadata/permission", NULL);
    int result = 0;
    ret_client->permission = permission ? permission_find(permission) : PERMISSION_READ;
    if (!key)
        result = fault_set(why, "%s has no public key", path);
    else if (ret_client->permission == PERMISSION_NONE)
        result = fault_set(why, "%s: `permission` must be read, write or admin, not `%s`", path, permission);
    else
        snprintf(ret_client->key, sizeof ret_client->key, "%s", key);
    zconfig_destroy(&certificate);
    return result;
}

static void complain(keyring_t *ring, const fault_t *why) {
    if (ring->complaints++ == 0) ring->complaint = *why;
}

static void take_file(keyring_t *ring, const char *folder, const char *file) {
    char path[4800];
    fault_t why;
    client_key_t client = {0};
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (file[0] == '.') return;
    if (!name_of(file, client.name)) {
        fault_set(&why, "%s is no client's certificate: those are called NAME" SUFFIX, path);
        complain(ring, &why);
        return;
    }
    if (client_load(path, &client, &why) < 0) {
        complain(ring, &why);
        return;
    }
    const client_key_t *same = keyring_find(ring, client.bytes);
    if (same) {
        fault_set(&why, "%s has the same key as %s" SUFFIX, path, same->name);
        complain(ring, &why);
        return;
    }
    ring->clients = realloc(ring->clients, (ring->count + 1) * sizeof *ring->clients);
    must(ring->clients);
    ring->clients[ring->count++] = client;
}

int keyring_load(const char *folder, keyring_t *ret, fault_t *why) {
    char clients[4400];
    snprintf(clients, sizeof clients, "%s/clients", folder);
    *ret = (keyring_t){0};
    struct dirent **files;
    int count = scandir(clients, &files, NULL, alphasort);
    if (count < 0) return fault_errno(why, "cannot read the clients' keys in %s", clients);
    for (int i = 0; i < count; i++) {
        take_file(ret, clients, files[i]->d_name);
        free(files[i]);
    }
    free(files);
    return 0;
}

void keyring_fini(keyring_t *keyring) {
    free(keyring->clients);
    *keyring = (keyring_t){0};
}

const client_key_t *keyring_find(const keyring_t *keyring, const uint8_t *bytes) {
    for (size_t i = 0; i < keyring->count; i++)
        if (memcmp(keyring->clients[i].bytes, bytes, KEY_BYTES) == 0) return &keyring->clients[i];
    return NULL;
}

static uint64_t mixed(uint64_t sum, uint64_t number) {
    return (sum ^ number) * UINT64_C(0x9e3779b97f4a7c15) + (sum >> 29);
}

static uint64_t stamp_of(const struct stat *about) {
    uint64_t sum = mixed((uint64_t)about->st_ino, (uint64_t)about->st_size);
    sum = mixed(sum, (uint64_t)about->st_mtim.tv_sec);
    sum = mixed(sum, (uint64_t)about->st_mtim.tv_nsec);
    return mixed(sum, (uint64_t)about->st_ctim.tv_nsec);
}

uint64_t keyring_stamp(const char *folder) {
    char clients[4400];
    snprintf(clients, sizeof clients, "%s/clients", folder);
    DIR *open = opendir(clients);
    if (!open) return 0;
    uint64_t sum = 1;
    struct stat about;
    for (const struct dirent *file; (file = readdir(open));)
        if (fstatat(dirfd(open), file->d_name, &about, 0) == 0) sum += stamp_of(&about); /* in whatever order they come */
    closedir(open);
    return sum;
}
