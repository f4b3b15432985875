/* Making keys: a certificate with its secret for whoever will use it, and the public one for the others. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command_list.h"
#include "print.h"

typedef struct pair {
    char public_key[41], secret_key[41];
} pair_t;

/* With this mode from its first byte on. */
static status_t certificate_write(client_t *client, const char *path, const pair_t *pair, const char *permission, bool secret, bool force) {
    if (force && unlink(path) < 0 && errno != ENOENT) {
        return client_fail(client, STATUS_FAILED, "cannot replace %s: %s", path, strerror(errno));
    }
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!file) {
        const char *hint = errno == EEXIST ? "; --force replaces it, and whoever uses that key is locked out" : "";
        return client_fail(client, STATUS_FAILED, "cannot write %s: %s%s", path, strerror(errno), hint);
    }
    fprintf(file, "#   A %s key of Reprise\n", secret ? "secret" : "public");
    fprintf(file, "metadata\n    permission = \"%s\"\ncurve\n    public-key = \"%s\"\n", permission, pair->public_key);
    if (secret) {
        fprintf(file, "    secret-key = \"%s\"\n", pair->secret_key);
    }
    bool written = fflush(file) == 0 && fsync(descriptor) == 0;
    if (fclose(file) != 0 || !written) {
        return client_fail(client, STATUS_FAILED, "cannot write %s: %s", path, strerror(errno));
    }
    return STATUS_OK;
}

static status_t keygen_run(client_t *client, const call_t *call) {
    const char *permission = call_value(call, "permission") ? call_value(call, "permission") : permission_name(PERMISSION_READ);
    bool force = call_has(call, "force");
    char secret[4096], public[4096];
    pair_t pair;
    if (permission_find(permission) == PERMISSION_NONE) {
        return client_fail(client, STATUS_USAGE, "--permission must be read, write or admin, not `%s`", permission);
    }
    if (strlen(call->arguments[0]) > sizeof secret - 8) {
        return client_fail(client, STATUS_USAGE, "the name is too long");
    }
    snprintf(secret, sizeof secret, "%s.key", call->arguments[0]);
    snprintf(public, sizeof public, "%s.pub", call->arguments[0]);
    if (!force && access(public, F_OK) == 0) {
        return client_fail(client, STATUS_FAILED, "%s exists; --force replaces it, and whoever uses that key is locked out", public);
    }
    if (zmq_curve_keypair(pair.public_key, pair.secret_key) != 0) {
        return client_fail(client, STATUS_FAILED, "this libzmq has no CURVE");
    }
    status_t status = certificate_write(client, secret, &pair, permission, true, force);
    if (status == STATUS_OK) {
        status = certificate_write(client, public, &pair, permission, false, force);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (client->json) {
        client_print_json(client,
                          json_pack("{s:b, s:s, s:s, s:s}", "ok", 1, "public_key", pair.public_key, "key", secret, "public", public));
    } else {
        printf("%s\n", pair.public_key);
    }
    return STATUS_OK;
}

const command_t command_keygen = {
    .name = "keygen",
    .synopsis = "FILE",
    .doc = "Make a key: FILE.key, the secret, and FILE.pub for others.",
    .more = "Prints the public key. For an engine: `reprise keygen DIR/server`, then\n"
            "`reprised --keys DIR`. For a client: copy its FILE.pub to DIR/clients/. The name\n"
            "there is the client's, and the permission in it is what the client may do.",
    .arguments_min = 1,
    .arguments_max = 1,
    .flags = (const flag_t[]){{"permission", "read|write|admin", "What the client may do: read (default), write or admin."},
                              {"force", NULL, "Replace files of that name."},
                              {0}},
    .run = keygen_run,
};
